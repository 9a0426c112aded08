/** Rooms: subscribing, recovering, gaps, repeats, pages, tokens, ending. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { settled } from "./support/clock.mjs";
import { publication, ROOM, World } from "./support/world.mjs";

test("a first subscription gives the history and is live", () => {
  const world = new World();
  const subscription = world.subscribe({ history: 2 });
  assert.equal(subscription.state, "subscribing");
  world.connect();
  assert.deepEqual(world.socket.last("subscribe"), {
    id: 2,
    type: "subscribe",
    room: ROOM,
    history: 2,
  });
  const history = [publication(1), publication(2)];
  world.subscribed({ position: "p2", head: "p2", publications: history });
  assert.equal(subscription.state, "subscribed");
  assert.deepEqual(world.of("subscribed"), [
    { room: ROOM, recovered: false, reason: null, publications: history },
  ]);
  assert.deepEqual(world.told, [], "history is told once, in the event");
  world.socket.say(publication(3));
  assert.deepEqual(world.told, [3]);
  assert.equal(subscription.position, "p3");
});

test("a subscription made while connected is sent at once", () => {
  const world = new World();
  world.connect();
  world.subscribe();
  world.socket.last("subscribe");
});

test("after a lost connection it continues from its position", () => {
  const world = World.subscribed({}, { history: 5 });
  world.socket.say(publication(2));
  world.socket.drop();
  assert.equal(world.subscription.state, "subscribing");
  world.clock.advance(500);
  world.welcome();
  const command = world.socket.last("subscribe");
  assert.equal(command.since, "p2");
  assert.equal(command.history, 5, "in case the position is not recoverable");
  world.subscribed({
    position: "p4",
    head: "p4",
    recovered: true,
    publications: [publication(3), publication(4)],
  });
  assert.deepEqual(world.told, [2, 3, 4]);
  assert.deepEqual(world.of("subscribed"), [
    { room: ROOM, recovered: true, reason: null, publications: [] },
  ]);
});

test("a push that does not follow what is held is recovered at once and told once", () => {
  const world = World.subscribed();
  world.socket.say(publication(3));
  assert.equal(world.subscription.state, "subscribing");
  assert.equal(world.socket.last("subscribe").since, "p1");
  world.socket.say(publication(4)); // still of the subscription before
  assert.deepEqual(world.told, []);
  world.subscribed({
    position: "p4",
    head: "p4",
    recovered: true,
    publications: [publication(2), publication(3), publication(4)],
  });
  world.socket.say(publication(5));
  assert.deepEqual(world.told, [2, 3, 4, 5]);
});

test("a doubled push is told once", () => {
  const world = World.subscribed();
  world.socket.say(publication(2));
  world.socket.say(publication(2));
  world.socket.say(publication(3));
  assert.deepEqual(world.told, [2, 3]);
  assert.equal(world.socket.commands("subscribe").length, 1, "nothing was missing");
});

test("an older push that comes again is not told again", () => {
  const world = World.subscribed();
  world.socket.say(publication(2));
  world.socket.say(publication(3));
  world.socket.say(publication(2));
  assert.equal(world.socket.last("subscribe").since, "p3");
  world.subscribed({ position: "p3", head: "p3", recovered: true });
  world.socket.say(publication(4));
  assert.deepEqual(world.told, [2, 3, 4]);
});

test("the head decides what follows, not the position", () => {
  const world = new World();
  world.subscribe();
  world.connect();
  world.subscribed({ position: "elsewhere", head: "p1" });
  world.socket.say(publication(2));
  assert.deepEqual(world.told, [2]);
});

test("recovery in pages is told in order, and is live after the last page", () => {
  const world = World.subscribed();
  world.socket.drop();
  world.connect();
  world.subscribed({
    position: "p3",
    head: "p9", // counts on the last page only
    recovered: true,
    more: true,
    publications: [publication(2), publication(3)],
  });
  assert.equal(world.socket.last("subscribe").since, "p3");
  world.subscribed({ position: "p5", head: "p4", recovered: true, publications: [publication(4)] });
  world.socket.say(publication(5));
  assert.deepEqual(world.told, [2, 3, 4, 5]);
  assert.equal(world.of("subscribed").length, 1);
  const names = world.events.map(([name]) => name);
  assert.ok(names.indexOf("subscribed") < names.indexOf("publication"));
});

test("a cut between two pages continues after the first", () => {
  const world = World.subscribed();
  world.socket.drop();
  world.connect();
  world.subscribed({ position: "p2", recovered: true, more: true, publications: [publication(2)] });
  world.socket.drop();
  world.connect();
  assert.equal(world.socket.last("subscribe").since, "p2");
  world.subscribed({ position: "p3", head: "p3", recovered: true, publications: [publication(3)] });
  assert.deepEqual(world.told, [2, 3]);
});

test("a position that is lost between two pages is told as lost", () => {
  const world = World.subscribed({}, { history: 1 });
  world.socket.drop();
  world.connect();
  world.subscribed({ position: "p2", recovered: true, more: true, publications: [publication(2)] });
  const fresh = [publication(9)];
  world.subscribed({
    position: "p9",
    head: "p9",
    recovered: false,
    reason: "evicted",
    publications: fresh,
  });
  assert.deepEqual(
    world.of("subscribed").map(({ recovered, reason }) => [recovered, reason]),
    [
      [true, null],
      [false, "evicted"],
    ],
  );
  assert.equal(world.of("subscribed")[1].publications.length, 1);
  world.socket.say(publication(10));
  assert.deepEqual(world.told, [2, 10]);
});

for (const reason of ["trimmed", "not_in_log", "evicted", "malformed"]) {
  test(`recovery that is refused (${reason}) gives the fresh history`, () => {
    const world = World.subscribed({}, { history: 2 });
    world.socket.drop();
    world.connect();
    const fresh = [publication(1, 0, { position: "q1" }), publication(2, 0, { position: "q2" })];
    world.subscribed({ position: "q2", head: "q2", recovered: false, reason, publications: fresh });
    assert.deepEqual(world.of("subscribed"), [
      { room: ROOM, recovered: false, reason, publications: fresh },
    ]);
    assert.deepEqual(world.told, []);
    assert.equal(world.subscription.position, "q2");
  });
}

test("a replaced log means subscribing anew without a position, and saying so", () => {
  const world = World.subscribed({}, { history: 3 });
  world.socket.say({ type: "unsubscribed", room: ROOM, code: "log_reset", reason: "replaced" });
  assert.deepEqual(world.socket.last("subscribe"), {
    id: 3,
    type: "subscribe",
    room: ROOM,
    history: 3,
  });
  // Lost before it is answered: the application still has to hear of it.
  world.socket.drop();
  world.connect();
  assert.equal(world.socket.last("subscribe").since, undefined);
  world.subscribed({ position: "q0", head: null });
  assert.deepEqual(world.of("subscribed"), [
    { room: ROOM, recovered: false, reason: "log_reset", publications: [] },
  ]);
});

test("a subscription that the gateway ends stays ended", () => {
  const world = World.subscribed();
  world.socket.say({ type: "unsubscribed", room: ROOM, code: "forbidden", reason: "no more" });
  assert.equal(world.subscription.state, "unsubscribed");
  assert.equal(world.subscription.position, "p1");
  assert.deepEqual(world.of("unsubscribed"), [
    { room: ROOM, code: "forbidden", reason: "no more" },
  ]);
  assert.equal(world.client.subscription(ROOM), null);
  world.socket.drop();
  world.connect();
  assert.equal(world.socket.commands("subscribe").length, 0);
});

test("the application may subscribe anew from within `unsubscribed`", () => {
  const world = World.subscribed();
  world.subscription.on("unsubscribed", () => world.subscribe());
  world.socket.say({ type: "unsubscribed", room: ROOM, code: "forbidden", reason: "no more" });
  world.subscribed({ position: "p1", head: "p1" });
  assert.equal(world.client.subscription(ROOM).state, "subscribed");
});

test("a permanent error ends the subscription", () => {
  const world = new World();
  const subscription = world.subscribe();
  world.connect();
  world.refuse(world.socket.last("subscribe"), "forbidden");
  assert.equal(subscription.state, "unsubscribed");
  const [error] = world.of("room error");
  assert.ok(error instanceof Error);
  assert.deepEqual([error.code, error.temporary, error.room], ["forbidden", false, ROOM]);
  assert.deepEqual(world.of("error"), [error], "the client tells it too");
  assert.equal(world.of("unsubscribed")[0].code, "forbidden");
});

test("a temporary error is retried with backoff, from the same position", () => {
  const world = World.subscribed();
  world.randomness = 0.999;
  world.socket.drop();
  world.clock.advance(500);
  world.welcome();
  for (const wait of [499, 999, 1998]) {
    world.refuse(world.socket.last("subscribe"), "catching_up", true);
    const before = world.socket.commands("subscribe").length;
    world.clock.advance(wait - 1);
    assert.equal(world.socket.commands("subscribe").length, before, `waits ${wait} ms`);
    world.clock.advance(1);
    assert.equal(world.socket.commands("subscribe").length, before + 1);
    assert.equal(world.socket.last("subscribe").since, "p1");
  }
  assert.deepEqual(
    world.of("room error").map(({ temporary }) => temporary),
    [true, true, true],
  );
  assert.equal(world.subscription.state, "subscribing");
});

test("a subscribe that is not answered is sent again; its late answer does not count", () => {
  const world = new World();
  world.subscribe();
  world.connect();
  const late = world.socket.last("subscribe");
  world.clock.advance(10000 + 500);
  assert.equal(world.of("room error")[0].code, "timeout");
  const again = world.socket.last("subscribe");
  assert.notEqual(again.id, late.id);
  world.socket.say({
    type: "subscribed",
    id: late.id,
    room: ROOM,
    position: "p1",
    head: "p1",
    publications: [],
  });
  world.socket.say(publication(2)); // live at the gateway, but the answer to come holds it
  world.subscribed({ position: "p2", head: "p2", publications: [] });
  world.socket.say(publication(3));
  assert.deepEqual(world.told, [3]);
});

test("unsubscribing is told to the gateway and ends all events", () => {
  const world = World.subscribed();
  world.subscription.unsubscribe();
  world.subscription.unsubscribe();
  assert.equal(world.socket.commands("unsubscribe").length, 1);
  assert.equal(world.of("unsubscribed").length, 1);
  assert.equal(world.of("unsubscribed")[0].code, "left");
  world.socket.say(publication(2));
  assert.deepEqual(world.told, []);
  world.socket.drop();
  world.connect();
  assert.equal(world.socket.commands("subscribe").length, 0);
});

test("an unsubscribe that failed is repeated when the room still pushes", () => {
  const world = World.subscribed();
  world.subscription.unsubscribe();
  world.socket.say(publication(2));
  assert.equal(world.socket.commands("unsubscribe").length, 1, "one at a time");
  world.refuse(world.socket.last("unsubscribe"), "rate_limited", true);
  world.socket.say(publication(3));
  assert.equal(world.socket.commands("unsubscribe").length, 2);
});

test("each leaving is told to the gateway, whatever is unanswered", () => {
  const world = new World();
  world.connect();
  for (let i = 0; i < 3; i++) world.subscribe().unsubscribe();
  assert.deepEqual(
    world.socket.commands().map(({ type }) => type),
    ["connect", ...Array(3).fill(["subscribe", "unsubscribe"]).flat()],
  );
  // An answer to an earlier one says nothing of the last.
  const [first, , last] = world.socket.commands("unsubscribe");
  world.socket.say({ type: "unsubscribed", id: first.id, room: ROOM });
  world.socket.say(publication(2));
  assert.equal(world.socket.commands("unsubscribe").length, 3, "the last one is unanswered");
  world.socket.say({ type: "unsubscribed", id: last.id, room: ROOM });
  world.socket.say(publication(3));
  assert.equal(world.socket.commands("unsubscribe").length, 4);
});

test("leaving and subscribing again at once does not mix the two subscriptions", () => {
  const world = World.subscribed();
  world.subscription.unsubscribe();
  world.subscribe();
  world.socket.say(publication(2)); // of the first
  world.subscribed({ position: "p2", head: "p2" });
  world.socket.say(publication(3));
  assert.deepEqual(world.told, [3]);
});

test("unsubscribing while the subscribe is unanswered ignores the answer", () => {
  const world = new World();
  const subscription = world.subscribe();
  world.connect();
  subscription.unsubscribe();
  let told = 0;
  world.client.on("subscribed", () => (told += 1));
  world.subscribed({ position: "p1", head: "p1", publications: [publication(1)] });
  assert.equal(subscription.state, "unsubscribed");
  assert.equal(told, 0);
});

test("a subscribe that the connection took along is no error of the room", () => {
  const world = World.subscribed();
  world.socket.say(publication(3));
  world.socket.drop();
  assert.deepEqual(world.of("room error"), []);
  assert.equal(world.clock.running, 1, "only the next attempt");
});

test("a push between two pages is left to the next page", () => {
  const world = World.subscribed();
  world.socket.drop();
  world.connect();
  world.subscribed({ position: "p2", recovered: true, more: true, publications: [publication(2)] });
  world.socket.say(publication(3));
  assert.deepEqual(world.told, [2]);
  assert.equal(world.socket.commands("subscribe").length, 2);
});

test("a listener may unsubscribe in the middle of a page", () => {
  const world = World.subscribed();
  world.subscription.on("publication", () => world.subscription.unsubscribe());
  world.socket.drop();
  world.connect();
  world.subscribed({
    position: "p3",
    head: "p3",
    recovered: true,
    publications: [publication(2), publication(3)],
  });
  assert.deepEqual(world.told, [2]);
  assert.equal(world.subscription.position, "p2", "what was not told can still be recovered");
});

test("a listener may disconnect in the middle of a page", () => {
  const world = World.subscribed();
  const stop = world.subscription.on("publication", () => world.client.disconnect());
  world.socket.drop();
  world.connect();
  const pages = [publication(2), publication(3)];
  world.subscribed({ position: "p3", head: "p3", recovered: true, publications: pages });
  assert.deepEqual(world.told, [2]);
  assert.equal(world.clock.running, 0);
  stop();
  world.connect();
  assert.equal(world.socket.last("subscribe").since, "p2");
});

test("a listener that throws harms nobody and is reported", () => {
  const world = World.subscribed();
  const oops = new Error("oops");
  world.subscription.on("publication", () => {
    throw oops;
  });
  const after = [];
  world.subscription.on("publication", ({ data }) => after.push(data));
  world.socket.say(publication(2));
  world.socket.say(publication(3));
  assert.deepEqual(after, [2, 3]);
  assert.deepEqual(world.reported, [oops, oops]);
});

test("one room has one subscription", () => {
  const world = World.subscribed();
  assert.throws(() => world.client.subscribe(ROOM), /chat\.lobby is subscribed to already/);
  assert.equal(world.client.subscription(ROOM), world.subscription);
  world.subscription.unsubscribe();
  assert.equal(world.client.subscription(ROOM), null);
  world.subscribe();
});

test("any well-formed room name will do", () => {
  const world = new World();
  world.connect();
  for (const room of ["__proto__", "constructor", "toString"]) {
    world.subscribe({}, room);
    world.subscribed({ room, position: "p1", head: "p1" });
    world.socket.say(publication(2, 1, { room, data: room }));
  }
  assert.deepEqual(world.told, ["__proto__", "constructor", "toString"]);
});

test("a position from an earlier page load is continued from", () => {
  const world = new World();
  world.subscribe({ since: "p1", history: 5 });
  world.connect();
  assert.deepEqual(world.socket.last("subscribe"), {
    id: 2,
    type: "subscribe",
    room: ROOM,
    since: "p1",
    history: 5,
  });
  world.subscribed({ position: "p2", head: "p2", recovered: true, publications: [publication(2)] });
  assert.deepEqual(world.told, [2]);
});

test("the client's events are those of every room", () => {
  const world = World.subscribed();
  const told = [];
  world.client.on("publication", ({ room, data }) => told.push([room, data]));
  world.subscribe({}, "chat.other");
  world.subscribed({ room: "chat.other", position: "p1", head: "p1" });
  world.socket.say(publication(2));
  world.socket.say(publication(2, 1, { room: "chat.other" }));
  assert.deepEqual(told, [
    [ROOM, 2],
    ["chat.other", 2],
  ]);
});

test("a fixed room token is sent; when it has expired the subscription ends", () => {
  const world = World.subscribed({}, { token: "t-1" });
  assert.equal(world.socket.commands("subscribe")[0].token, "t-1");
  world.socket.say({ type: "unsubscribed", room: ROOM, code: "token_expired", reason: "expired" });
  assert.equal(world.subscription.state, "unsubscribed");
});

/** The gateway wants a token for the room that is being subscribed to. */
const wantToken = (world) => world.refuse(world.socket.last("subscribe"), "room_token_required");

test("a room token is not asked for where the connection grants the room", () => {
  let asked = 0;
  const world = World.subscribed({}, { token: () => `t-${++asked}` });
  world.socket.drop();
  world.connect();
  assert.equal(world.socket.last("subscribe").token, undefined);
  assert.equal(asked, 0);
});

test("a room token is asked for when it is wanted, kept, and asked for when expired", async () => {
  const asked = [];
  const world = new World();
  const token = async (room) => `${room}-${asked.push(room)}`;
  world.subscribe({ token });
  world.connect();
  await settled();
  assert.deepEqual(asked, []);
  wantToken(world);
  await settled();
  assert.deepEqual(world.of("room error"), [], "that is no failure");
  assert.equal(world.socket.last("subscribe").token, `${ROOM}-1`);
  world.subscribed({ position: "p1", head: "p1" });
  world.socket.drop();
  world.connect();
  assert.equal(world.socket.last("subscribe").token, `${ROOM}-1`, "kept");
  world.subscribed({ position: "p1", head: "p1", recovered: true });
  world.socket.say({ type: "unsubscribed", room: ROOM, code: "token_expired", reason: "expired" });
  await settled();
  const command = world.socket.last("subscribe");
  assert.deepEqual([command.token, command.since], [`${ROOM}-2`, "p1"]);
});

test("a room that the connection grants no more is continued with a room token", () => {
  const world = World.subscribed({}, { token: () => "t-1" });
  world.socket.say({ type: "unsubscribed", room: ROOM, code: "forbidden", reason: "no more" });
  const { token, since } = world.socket.last("subscribe");
  assert.deepEqual([token, since], ["t-1", "p1"]);
  wantToken(world);
  assert.equal(world.subscription.state, "unsubscribed", "and that was the last word");
});

const changeRights = (world) =>
  world.socket.say({ type: "unsubscribed", room: ROOM, code: "rights_changed", reason: "changed" });

test("when the rights have changed, a room token is asked for and it continues", async () => {
  const asked = [];
  const world = World.subscribed({}, { token: async (room) => `t-${asked.push(room)}` });
  changeRights(world);
  assert.equal(world.subscription.state, "subscribing");
  assert.deepEqual(asked, [], "not everybody at the same moment");
  world.clock.advance(world.clock.next);
  await settled();
  const { token, since } = world.socket.last("subscribe");
  assert.deepEqual([token, since], ["t-1", "p1"]);
  world.subscribed({ position: "p2", head: "p2", recovered: true, publications: [publication(2)] });
  assert.deepEqual(world.told, [2]);
  assert.deepEqual(world.of("unsubscribed"), []);
  changeRights(world);
  world.clock.advance(world.clock.next);
  await settled();
  assert.equal(world.socket.last("subscribe").token, "t-2", "the one that is held counts no more");
});

test("when the rights have changed, who gets no room token is told that it is over", async () => {
  const token = () => Promise.reject(Object.assign(new Error("403"), { temporary: false }));
  const world = World.subscribed({}, { token });
  changeRights(world);
  world.clock.advance(world.clock.next);
  await settled();
  assert.equal(world.subscription.state, "unsubscribed");
  assert.equal(world.of("unsubscribed")[0].code, "token_failed");
});

test("when the rights have changed, without a room token the connection's is renewed", () => {
  let asked = 0;
  const world = World.subscribed({ token: () => `c-${++asked}` });
  const other = world.subscribe({}, "chat.other");
  world.subscribed({ room: "chat.other", position: "p1", head: "p1" });
  const subscribes = world.socket.commands("subscribe").length;
  changeRights(world);
  world.socket.say({ type: "unsubscribed", room: other.room, code: "rights_changed", reason: "c" });
  world.clock.advance(1000);
  const first = world.socket.last("refresh");
  assert.equal(first.token, "c-2");
  assert.equal(world.socket.commands("subscribe").length, subscribes, "not before it is taken");
  world.socket.say({ type: "refreshed", id: first.id, expires_in: null });
  const second = world.socket.last("refresh");
  assert.equal(second.token, "c-3", "the first was asked for before the other room was told");
  world.socket.say({ type: "refreshed", id: second.id, expires_in: null });
  const commands = world.socket.commands("subscribe").slice(subscribes);
  assert.deepEqual(commands.map(({ room, since, token }) => [room, since, token]), [
    [ROOM, "p1", undefined],
    ["chat.other", "p1", undefined],
  ]);
  world.refuse(commands[0], "room_token_required");
  assert.equal(world.subscription.state, "unsubscribed", "this user may not any more");
});

test("a connection's token that counts no more for a room is renewed once", () => {
  let asked = 0;
  const world = new World("http://a", { token: () => `c-${++asked}` });
  const subscription = world.subscribe();
  world.connect();
  const refuse = () => world.refuse(world.socket.last("subscribe"), "token_revoked");
  const refreshed = () =>
    world.socket.say({ type: "refreshed", id: world.socket.last("refresh").id, expires_in: null });
  refuse();
  assert.equal(world.socket.last("refresh").token, "c-2");
  assert.equal(world.socket.commands("subscribe").length, 1, "not before it is taken");
  refreshed();
  assert.equal(subscription.state, "subscribing");
  refuse();
  assert.equal(subscription.state, "unsubscribed");
  assert.equal(world.socket.commands("refresh").length, 1);
});

test("a room's refusal is the last word where nobody can renew the connection's token", () => {
  const world = new World();
  const subscription = world.subscribe();
  world.connect();
  for (let count = 0; count < 2 && subscription.state !== "unsubscribed"; count++)
    world.refuse(world.socket.last("subscribe"), "token_revoked");
  assert.equal(subscription.state, "unsubscribed");
});

test("when the rights have changed and there are no tokens at all, it asks once more", () => {
  const world = World.subscribed();
  changeRights(world);
  world.clock.advance(1000);
  world.refuse(world.socket.last("subscribe"), "room_token_required");
  assert.equal(world.subscription.state, "unsubscribed");
});

test("rights that change while the connection is lost are settled by the next one", () => {
  let asked = 0;
  const world = World.subscribed({ token: () => `c-${++asked}` });
  changeRights(world);
  world.socket.drop();
  world.connect();
  assert.equal(world.socket.last("subscribe").since, "p1");
  assert.deepEqual(world.socket.commands("refresh"), []);
  assert.equal(asked, 2, "the new connection's token is new");
});

test("a room that was closed is over", () => {
  const world = World.subscribed({}, { token: () => "t-1" });
  world.socket.say({ type: "unsubscribed", room: ROOM, code: "room_closed", reason: "closed" });
  assert.equal(world.subscription.state, "unsubscribed");
  assert.equal(world.of("unsubscribed")[0].code, "room_closed");
});

test("a room token that was revoked is replaced", () => {
  let asked = 0;
  const world = new World();
  world.subscribe({ token: () => `t-${++asked}` });
  world.connect();
  wantToken(world);
  world.subscribed({ position: "p1", head: "p1" });
  world.socket.drop();
  world.connect();
  world.refuse(world.socket.last("subscribe"), "token_revoked");
  assert.equal(world.socket.last("subscribe").token, "t-2");
});

test("a kept room token that is refused is replaced; a fresh one that is refused is not", async () => {
  let asked = 0;
  const world = new World();
  const subscription = world.subscribe({ token: () => `t-${++asked}` });
  world.connect();
  wantToken(world);
  world.subscribed({ position: "p1", head: "p1" });
  world.socket.drop();
  world.connect();
  world.refuse(world.socket.last("subscribe"), "token_expired");
  assert.equal(world.socket.last("subscribe").token, "t-2");
  world.refuse(world.socket.last("subscribe"), "token_invalid");
  assert.equal(subscription.state, "unsubscribed");
  assert.equal(asked, 2);
});

test("a room token callback that fails is asked again later", async () => {
  const answers = [Promise.reject(new Error("offline")), "", undefined, "t-1"];
  const world = new World();
  world.subscribe({ token: () => answers.shift() });
  world.connect();
  wantToken(world);
  for (let i = 0; i < 3; i++) {
    await settled();
    world.clock.advance(2000);
  }
  assert.deepEqual(
    world.of("room error").map(({ code, temporary }) => [code, temporary]),
    [
      ["token_failed", true],
      ["token_failed", true],
      ["token_failed", true],
    ],
  );
  assert.match(world.of("room error")[0].message, /offline/);
  assert.equal(world.socket.last("subscribe").token, "t-1");
});

test("a room token that comes after it was given up is not used", async () => {
  let late;
  const answers = [new Promise((resolve) => (late = resolve)), "t-2"];
  const world = new World();
  world.subscribe({ token: () => answers.shift() });
  world.connect();
  wantToken(world);
  world.clock.advance(10000 + 250);
  assert.equal(world.socket.last("subscribe").token, "t-2");
  late("t-late");
  await settled();
  assert.equal(world.socket.commands("subscribe").length, 2);
});

test("a room token that is refused for good ends the subscription", async () => {
  const world = new World();
  const refusal = Object.assign(new Error("not for you"), { temporary: false });
  const subscription = world.subscribe({ token: () => Promise.reject(refusal) });
  world.connect();
  wantToken(world);
  await settled();
  assert.equal(subscription.state, "unsubscribed");
  const [error, ...others] = world.of("room error");
  assert.deepEqual(
    [error.code, error.temporary, error.room, others],
    ["token_failed", false, ROOM, []],
  );
  const [{ code, reason }] = world.of("unsubscribed");
  assert.equal(code, "token_failed");
  assert.match(reason, /not for you/);
  assert.equal(world.client.subscription(ROOM), null);
  assert.equal(world.client.state, "connected");
});

for (const ending of ["give a token", "throw"]) {
  test(`a room token callback may unsubscribe and then ${ending}`, () => {
    const world = new World();
    const subscription = world.subscribe({
      token: () => {
        subscription.unsubscribe();
        if (ending === "throw") throw new Error("bug");
        return "t";
      },
    });
    world.connect();
    wantToken(world);
    assert.equal(subscription.state, "unsubscribed");
    assert.deepEqual(world.of("room error"), []);
    assert.equal(world.socket.commands("subscribe").length, 1);
  });
}

test("many rooms are subscribed to a few at a time", () => {
  const world = new World();
  for (let i = 0; i < 40; i++) world.subscribe({}, `chat.${i}`);
  world.connect();
  const subscribes = () => world.socket.commands("subscribe");
  assert.equal(subscribes().length, 16);
  for (let i = 0; i < 40; i++) {
    const { id, room } = subscribes()[i];
    world.socket.say({
      type: "subscribed",
      id,
      room,
      position: "p0",
      head: null,
      publications: [],
    });
  }
  assert.deepEqual(
    subscribes().map(({ room }) => room),
    [...Array(40)].map((_, i) => `chat.${i}`),
  );
});

test("history is asked for and not retried", async () => {
  const world = World.subscribed();
  const good = world.subscription.history(2);
  assert.deepEqual(world.socket.last("history"), { id: 3, type: "history", room: ROOM, limit: 2 });
  world.socket.say({
    type: "history",
    id: 3,
    room: ROOM,
    position: "p1",
    publications: [publication(1)],
  });
  assert.deepEqual(await good, { position: "p1", publications: [publication(1)] });
  const cut = world.subscription.history(2);
  world.socket.drop();
  await assert.rejects(cut, { code: "connection_lost", temporary: true });
  await assert.rejects(world.subscription.history(2), { code: "disconnected", temporary: true });
});
