/** Publishing: confirmation, retries with the same key, bounds. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { settled } from "./support/clock.mjs";
import { LIMITS, publication, ROOM, World } from "./support/world.mjs";

function connected(options) {
  const world = new World("http://a", options);
  world.connect();
  return world;
}

const confirm = (world, { id, room }) => world.socket.say({ type: "published", id, room });

/** What became of a promise, which must have been settled. */
async function outcome(promise) {
  return Promise.race([
    promise.then(
      (value) => ["fulfilled", value],
      (error) => ["rejected", error],
    ),
    new Promise((resolve) => setImmediate(resolve, ["pending"])),
  ]);
}

test("a publish is fulfilled when it is confirmed", async () => {
  const world = connected();
  const promise = world.client.publish(ROOM, { text: "hi" });
  const command = world.socket.last("publish");
  assert.deepEqual(command, {
    id: 2,
    type: "publish",
    room: ROOM,
    data: { text: "hi" },
    key: "key-1",
  });
  assert.deepEqual(await outcome(promise), ["pending"]);
  confirm(world, command);
  assert.deepEqual(await promise, { room: ROOM, key: "key-1" });
});

test("each publish has its own key, or the one that is given", () => {
  const world = connected();
  for (const options of [undefined, {}, { key: "mine" }])
    void world.client.publish(ROOM, 1, options);
  assert.deepEqual(
    world.socket.commands("publish").map(({ key }) => key),
    ["key-1", "key-2", "mine"],
  );
});

test("null, false and 0 are data", () => {
  const world = connected();
  for (const data of [null, false, 0, ""]) void world.client.publish(ROOM, data);
  assert.deepEqual(
    world.socket.commands("publish").map(({ data }) => data),
    [null, false, 0, ""],
  );
});

test("what JSON cannot carry is refused", async () => {
  const world = connected();
  const circle = {};
  circle.circle = circle;
  for (const data of [undefined, () => 1, circle, 1n]) {
    await assert.rejects(world.client.publish(ROOM, data), {
      code: "bad_request",
      temporary: false,
    });
  }
  assert.equal(world.socket.commands("publish").length, 0);
});

test("what is published is what was given, not what became of it since", () => {
  const world = new World();
  world.client.connect();
  const data = { n: 1 };
  void world.client.publish(ROOM, data);
  data.n = 2;
  world.connect();
  assert.deepEqual(world.socket.last("publish").data, { n: 1 });
});

test("a temporary error is retried with the same key", async () => {
  const world = connected();
  const promise = world.client.publish(ROOM, 1);
  for (const wait of [250, 500, 1000]) {
    world.refuse(world.socket.last("publish"), "unavailable", true);
    assert.equal(world.clock.next, wait);
    world.clock.advance(wait);
  }
  const commands = world.socket.commands("publish");
  assert.deepEqual(
    commands.map(({ key }) => key),
    Array(4).fill("key-1"),
  );
  assert.equal(new Set(commands.map(({ id }) => id)).size, 4);
  confirm(world, commands.at(-1));
  assert.deepEqual(await promise, { room: ROOM, key: "key-1" });
  assert.deepEqual(world.of("error"), [], "the promise tells");
});

test("a permanent error rejects", async () => {
  const world = connected();
  const promise = world.client.publish("admin.log", 1);
  world.refuse(world.socket.last("publish"), "forbidden");
  const [state, error] = await outcome(promise);
  assert.equal(state, "rejected");
  assert.ok(error instanceof Error);
  assert.deepEqual(
    [error.name, error.code, error.temporary, error.room, error.key, error.message],
    ["RoomlineError", "forbidden", false, "admin.log", "key-1", "because forbidden"],
  );
});

test("a publish without an answer is sent again; a late answer does no harm", async () => {
  const world = connected();
  const promise = world.client.publish(ROOM, 1);
  const late = world.socket.last("publish");
  world.clock.advance(10000 + 250);
  const again = world.socket.last("publish");
  assert.deepEqual([again.key, again.id === late.id], [late.key, false]);
  confirm(world, late);
  assert.deepEqual(await outcome(promise), ["pending"]);
  confirm(world, again);
  assert.equal((await promise).key, "key-1");
});

test("what is unconfirmed is sent again after a reconnect, in order", async () => {
  const world = connected();
  const promises = [1, 2, 3].map((data) => world.client.publish(ROOM, data));
  confirm(world, world.socket.commands("publish")[1]);
  world.socket.drop();
  const offline = world.client.publish(ROOM, 4);
  world.connect();
  const commands = world.socket.commands("publish");
  assert.deepEqual(
    commands.map(({ data, key }) => [data, key]),
    [
      [1, "key-1"],
      [3, "key-3"],
      [4, "key-4"],
    ],
  );
  for (const command of commands) confirm(world, command);
  await Promise.all([...promises, offline]);
});

test("a retry that waits when the connection is lost is sent once after it", () => {
  const world = connected();
  void world.client.publish(ROOM, 1);
  world.refuse(world.socket.last("publish"), "unavailable", true);
  world.socket.drop();
  world.connect();
  world.clock.advance(2000);
  assert.equal(world.socket.commands("publish").length, 1);
});

test("after the overall time-out it is rejected, with the key to try again", async () => {
  const world = connected();
  const promise = world.client.publish(ROOM, 1);
  world.socket.drop();
  world.clock.advance(29999);
  assert.deepEqual(await outcome(promise), ["pending"]);
  world.clock.advance(1);
  await assert.rejects(promise, { code: "timeout", temporary: true, key: "key-1", room: ROOM });
  world.connect();
  assert.equal(world.socket.commands("publish").length, 0);
});

test("the number of unconfirmed publishes is bounded", async () => {
  const world = connected({ maxPending: 3 });
  const promises = [1, 2, 3].map((data) => world.client.publish(ROOM, data));
  await assert.rejects(world.client.publish(ROOM, 4), {
    code: "too_many_pending",
    temporary: true,
  });
  confirm(world, world.socket.commands("publish")[0]);
  await promises[0];
  void world.client.publish(ROOM, 5);
  assert.equal(world.socket.last("publish").data, 5);
});

test("publishing while disconnected is refused at once", async () => {
  const world = new World();
  await assert.rejects(world.client.publish(ROOM, 1), { code: "disconnected", temporary: true });
});

test("publishing while connecting waits for the connection", async () => {
  const world = new World();
  world.client.connect();
  const promise = world.client.publish(ROOM, 1);
  world.connect();
  confirm(world, world.socket.last("publish"));
  await promise;
});

test("disconnecting rejects what is unconfirmed", async () => {
  const world = connected();
  const promise = world.client.publish(ROOM, 1);
  world.client.disconnect();
  await assert.rejects(promise, { code: "disconnected", temporary: true, key: "key-1" });
  assert.equal(world.clock.running, 0);
});

test("what is too long for the gateway is refused here, as it would disconnect", async () => {
  const world = new World();
  world.connect({ limits: { ...LIMITS, message_bytes: 100 } });
  const base = JSON.stringify({ id: 2, type: "publish", room: ROOM, data: "", key: "k" }).length;
  const fits = "é".repeat((100 - base) / 2);
  void world.client.publish(ROOM, fits, { key: "k" });
  assert.equal(Buffer.byteLength(world.socket.texts.at(-1)), 100 - ((100 - base) % 2));
  await assert.rejects(world.client.publish(ROOM, fits + "é", { key: "k" }), {
    code: "too_large",
    temporary: false,
  });
  assert.equal(world.socket.commands("publish").length, 1);
  assert.equal(world.client.state, "connected");
});

test("only so many commands are unanswered; a ping need not wait", () => {
  const world = connected();
  for (let n = 0; n < 30; n++) void world.client.publish(ROOM, n);
  assert.equal(world.socket.commands("publish").length, 16);
  world.clock.advance(9000);
  confirm(world, world.socket.commands("publish")[0]);
  assert.equal(world.socket.commands("publish").length, 17);
  world.clock.advance(999);
  assert.equal(world.socket.commands("publish").length, 17);
});

test("a subscription publishes to its room", () => {
  const world = World.subscribed();
  void world.subscription.publish("hi", { key: "k" });
  const { room, data, key } = world.socket.last("publish");
  assert.deepEqual([room, data, key], [ROOM, "hi", "k"]);
  world.socket.say(publication(2, 1, { key: "k" }));
  assert.deepEqual(world.told, [2], "one's own come back like everybody's");
});

// Rooms whose subscription brings the right to publish.

/** A client in a room for which the gateway wants a token, which is given when `give` is called. */
function withRoomToken() {
  const world = new World();
  world.subscription = world.subscribe({
    token: () => new Promise((resolve, reject) => Object.assign(world, { give: resolve, reject })),
  });
  world.connect();
  return world;
}

const published = (world) => world.socket.commands("publish").map(({ data }) => data);

test("where a room token grants it, publishing waits until the subscription stands", async () => {
  const world = withRoomToken();
  const promises = [1, 2].map((data) => world.subscription.publish(data));
  void world.client.publish("chat.other", "free");
  assert.deepEqual(published(world), ["free"], "other rooms do not wait");
  world.refuse(world.socket.commands("subscribe")[0], "room_token_required");
  world.give("t-1");
  await Promise.resolve();
  assert.equal(world.socket.last("subscribe").token, "t-1");
  assert.deepEqual(published(world), ["free"]);
  world.subscription.on("subscribed", () => void world.subscription.publish("listener"));
  world.subscribed({ position: "p1", head: "p1" });
  assert.deepEqual(published(world), ["free", 1, 2, "listener"]);
  for (const command of world.socket.commands("publish")) confirm(world, command);
  await Promise.all(promises);
});

test("without a room token nothing waits", () => {
  const world = connected();
  world.subscribe();
  void world.client.publish(ROOM, 1);
  assert.deepEqual(published(world), [1]);
});

test("an expired room token makes publishes wait for the next one", async () => {
  const world = withRoomToken();
  world.subscribed({ position: "p1", head: "p1" });
  const onItsWay = world.subscription.publish("on its way");
  const early = world.socket.last("publish");
  world.socket.say({ type: "unsubscribed", room: ROOM, code: "token_expired", reason: "expired" });
  const typed = world.subscription.publish("typed now");
  world.refuse(early, "forbidden");
  assert.deepEqual(await outcome(onItsWay), ["pending"], "it came too late, that is all");
  assert.deepEqual(published(world), ["on its way"]);
  world.give("t-2");
  await settled();
  world.subscribed({ position: "p1", head: "p1", recovered: true });
  assert.deepEqual(published(world), ["on its way", "on its way", "typed now"]);
  const [, again, last] = world.socket.commands("publish");
  assert.equal(again.key, early.key);
  confirm(world, again);
  await onItsWay;
  world.refuse(last, "forbidden");
  await assert.rejects(typed, { code: "forbidden" }, "with the subscription it is final");
});

test("publishes wait while the rights of their room are shown anew", async () => {
  let asked = 0;
  const world = World.subscribed({ token: () => `c-${++asked}` });
  const onItsWay = world.subscription.publish("on its way");
  const early = world.socket.last("publish");
  world.socket.say({ type: "unsubscribed", room: ROOM, code: "rights_changed", reason: "changed" });
  const typed = world.subscription.publish("typed now");
  world.refuse(early, "token_revoked");
  assert.deepEqual(await outcome(onItsWay), ["pending"]);
  assert.deepEqual(published(world), ["on its way"]);
  world.clock.advance(1000);
  world.socket.say({ type: "refreshed", id: world.socket.last("refresh").id, expires_in: null });
  world.subscribed({ position: "p1", head: "p1", recovered: true });
  assert.deepEqual(published(world), ["on its way", "on its way", "typed now"]);
  const [, again, last] = world.socket.commands("publish");
  assert.equal(again.key, early.key);
  confirm(world, again);
  await onItsWay;
  world.refuse(last, "forbidden");
  await assert.rejects(typed, { code: "forbidden" }, "with the new token it is final");
});

/** Answer the latest `refresh`. */
function refreshed(world) {
  const { id } = world.socket.last("refresh");
  world.socket.say({ type: "refreshed", id, expires_in: null });
}

test("a publish that a revoked token granted is sent again with another one", async () => {
  let asked = 0;
  const world = connected({ token: () => `c-${++asked}` });
  const promises = ["one", "two"].map((text) => world.client.publish(ROOM, text));
  const early = world.socket.commands("publish");
  for (const command of early) world.refuse(command, "token_revoked");
  assert.equal(world.socket.last("refresh").token, "c-2");
  refreshed(world);
  // The second refusal may have come after that token was made.
  assert.equal(world.socket.last("refresh").token, "c-3");
  assert.deepEqual(published(world), ["one", "two"]);
  refreshed(world);
  assert.deepEqual(published(world), ["one", "two", "one", "two"]);
  const again = world.socket.commands("publish").slice(2);
  assert.deepEqual(
    again.map(({ key }) => key),
    early.map(({ key }) => key),
  );
  for (const command of again) confirm(world, command);
  await Promise.all(promises);
  assert.equal(asked, 3, "one for the connection");
});

test("it is sent again once", async () => {
  let asked = 0;
  const world = connected({ token: () => `c-${++asked}` });
  const promise = world.client.publish(ROOM, 1);
  for (let time = 0; time < 2; time++) {
    world.refuse(world.socket.last("publish"), "token_revoked");
    if (time === 0) refreshed(world);
  }
  await assert.rejects(promise, { code: "token_revoked", room: ROOM, key: "key-1" });
  assert.deepEqual([asked, published(world).length], [2, 2]);
});

test("without a token callback it is final", async () => {
  const world = connected();
  const promise = world.client.publish(ROOM, 1);
  world.refuse(world.socket.last("publish"), "token_revoked");
  await assert.rejects(promise, { code: "token_revoked" });
});

test("it is sent with the next session if this one ends meanwhile, and not once more", async () => {
  let asked = 0;
  const world = connected({ token: () => `c-${++asked}` });
  const promise = world.client.publish(ROOM, 1);
  world.refuse(world.socket.last("publish"), "token_revoked");
  world.socket.drop();
  world.connect();
  assert.deepEqual(published(world), [1]);
  confirm(world, world.socket.last("publish"));
  assert.deepEqual(await promise, { room: ROOM, key: "key-1" });
  assert.deepEqual([world.socket.commands("refresh").length, asked], [0, 3]);
});

test("what is out of time is not sent when another token comes", async () => {
  let give;
  let asked = 0;
  const world = connected({
    token: () => (++asked === 1 ? "c-1" : new Promise((resolve) => (give = resolve))),
    timeouts: { publish: 1000 },
  });
  const promise = world.client.publish(ROOM, 1);
  world.refuse(world.socket.last("publish"), "token_revoked");
  world.clock.advance(1000);
  await assert.rejects(promise, { code: "timeout" });
  give("c-2");
  await settled();
  refreshed(world);
  assert.deepEqual(published(world), [1]);
});

test("publishes wait while a reconnect renews the room token", async () => {
  const world = withRoomToken();
  world.subscribed({ position: "p1", head: "p1" });
  world.socket.drop();
  const promise = world.subscription.publish(1);
  world.connect();
  world.refuse(world.socket.last("subscribe"), "token_expired");
  world.give("t-2");
  await settled();
  assert.deepEqual(published(world), []);
  world.subscribed({ position: "p1", head: "p1", recovered: true });
  confirm(world, world.socket.last("publish"));
  await promise;
});

test("a publish that waits for its room is out of time like any other", async () => {
  const world = withRoomToken();
  const promise = world.subscription.publish(1);
  world.refuse(world.socket.last("subscribe"), "room_token_required");
  world.clock.advance(29999);
  assert.deepEqual(await outcome(promise), ["pending"]);
  world.clock.advance(1);
  await assert.rejects(promise, { code: "timeout", key: "key-1" });
});

test("when the subscription ends, what has waited is the gateway's to answer", async () => {
  for (const end of [
    (world) => world.subscription.unsubscribe(),
    (world) => world.refuse(world.socket.last("subscribe"), "forbidden"),
    (world) => {
      world.refuse(world.socket.last("subscribe"), "room_token_required");
      world.reject(Object.assign(new Error("not for you"), { temporary: false }));
    },
  ]) {
    const world = withRoomToken();
    const promise = world.subscription.publish(1);
    end(world);
    await settled();
    assert.equal(world.subscription.state, "unsubscribed");
    world.refuse(world.socket.commands("publish")[0], "forbidden");
    await assert.rejects(promise, { code: "forbidden" });
  }
});

test("disconnecting rejects what waits for its room", async () => {
  const world = withRoomToken();
  const promise = world.subscription.publish(1);
  world.client.disconnect();
  await assert.rejects(promise, { code: "disconnected" });
  assert.equal(world.clock.running, 0);
});
