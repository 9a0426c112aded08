/** Automatic rooms: pushed without a subscribe, and recovered with one. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { publication, World } from "./support/world.mjs";

const NOTICES = "system.notices";
const listed = (position, head) => ({ rooms: [{ room: NOTICES, position, head }] });
const notice = (n, previous) => publication(n, previous, { room: NOTICES });

function connected(head = "p1") {
  const world = new World();
  world.client.on("publication", (event) => world.events.push(["publication", event]));
  world.client.on("subscribed", (event) => world.events.push(["subscribed", event]));
  world.connect(listed("p1", head));
  return world;
}

test("an automatic room is told through the client without a subscribe", () => {
  const world = connected();
  assert.equal(world.client.subscription(NOTICES), null);
  assert.deepEqual(world.of("connected")[0].rooms, [NOTICES]);
  world.socket.say(notice(2));
  assert.deepEqual(world.told, [2]);
  assert.deepEqual(
    world.socket.commands().map(({ type }) => type),
    ["connect"],
  );
});

test("when its head has not changed nothing was missed", () => {
  const world = connected();
  world.socket.drop();
  world.connect(listed("p7", "p1"));
  assert.deepEqual(world.socket.commands("subscribe"), []);
  assert.equal(world.of("subscribed").at(-1).recovered, true);
  world.socket.say(notice(8, 1));
  assert.deepEqual(world.told, [8]);
});

test("when its head has changed it is recovered by subscribing", () => {
  const world = connected();
  world.socket.say(notice(2));
  world.socket.drop();
  world.connect(listed("p4", "p4"));
  const command = world.socket.last("subscribe");
  assert.deepEqual([command.room, command.since], [NOTICES, "p2"]);
  world.subscribed({
    position: "p4",
    head: "p4",
    recovered: true,
    publications: [notice(3), notice(4)],
  });
  world.socket.say(notice(5));
  assert.deepEqual(world.told, [2, 3, 4, 5]);
});

test("a first publication while away is recovered too", () => {
  const world = connected(null);
  world.socket.drop();
  world.connect(listed("p2", "p2"));
  assert.equal(world.socket.last("subscribe").since, "p1");
});

test("no head before and none now prove nothing: there may have been one between", () => {
  const world = connected(null);
  world.socket.drop();
  world.connect(listed("q9", null));
  const command = world.socket.last("subscribe");
  assert.deepEqual([command.room, command.since], [NOTICES, "p1"]);
  const lost = { recovered: false, reason: "trimmed" };
  world.subscribed({ position: "q9", head: null, publications: [], ...lost });
  const { recovered, reason } = world.of("subscribed").at(-1);
  assert.deepEqual([recovered, reason], [false, "trimmed"]);
});

test("a cut in the middle of its pages is not mistaken for nothing missed", () => {
  const world = connected();
  world.socket.drop();
  world.connect(listed("p3", "p3"));
  world.subscribed({
    position: "p2",
    head: "p3",
    recovered: true,
    more: true,
    publications: [notice(2)],
  });
  world.socket.drop();
  world.connect(listed("p3", "p3"));
  assert.equal(world.socket.last("subscribe").since, "p2");
});

test("a gap in it is recovered at once", () => {
  const world = connected();
  world.socket.say(notice(3));
  assert.equal(world.socket.last("subscribe").since, "p1");
});

test("it can be subscribed to like any room, before connecting", () => {
  const world = new World();
  const subscription = world.subscribe({ history: 2 }, NOTICES);
  world.connect(listed("p2", "p2"));
  assert.deepEqual(world.socket.last("subscribe").history, 2);
  world.subscribed({ position: "p2", head: "p2", publications: [notice(1), notice(2)] });
  assert.equal(world.of("subscribed")[0].publications.length, 2);
  world.socket.say(notice(3));
  assert.deepEqual(world.told, [3]);
  assert.equal(subscription.state, "subscribed");
});

test("without history it needs no command", () => {
  const world = new World();
  const subscription = world.subscribe({}, NOTICES);
  world.connect(listed("p2", "p2"));
  assert.equal(subscription.state, "subscribed");
  assert.deepEqual(world.socket.commands("subscribe"), []);
  assert.deepEqual(world.of("subscribed"), [
    { room: NOTICES, recovered: false, reason: null, publications: [] },
  ]);
});

test("subscribing to it later continues without a gap", () => {
  const world = connected();
  world.client.subscribe(NOTICES);
  assert.equal(world.socket.last("subscribe").since, "p1");
  world.socket.say(notice(2)); // on its way before the gateway has read the command
  world.subscribed({ position: "p2", head: "p2", recovered: true, publications: [notice(2)] });
  world.socket.say(notice(3));
  assert.deepEqual(world.told, [2, 3]);
});

test("subscribing to it while it is being recovered waits for the last answer", () => {
  const world = connected();
  world.socket.say(notice(3));
  const [recovering] = world.socket.commands("subscribe");
  world.client.subscribe(NOTICES, { history: 5 });
  const page = { type: "subscribed", room: NOTICES, position: "p3", head: "p3" };
  const publications = [notice(2), notice(3)];
  world.socket.say({ ...page, id: recovering.id, recovered: true, publications });
  assert.deepEqual(world.told, []);
  world.subscribed({ position: "p3", head: "p3", publications });
  assert.deepEqual(world.told, []);
  assert.deepEqual(world.of("subscribed").at(-1).publications, publications);
});

test("a listener may subscribe to one while another is being resumed", () => {
  const world = new World();
  const rooms = ["user.7", NOTICES].map((room) => ({ room, position: "p1", head: "p1" }));
  world.client.on("subscribed", ({ room }) => {
    if (room === "user.7") world.client.subscribe(NOTICES, { history: 5 });
  });
  world.connect({ rooms });
  assert.equal(world.socket.commands("subscribe").length, 1);
});

test("a position that an application brings is always checked", () => {
  const world = new World();
  world.subscribe({ since: "p1" }, NOTICES);
  world.connect(listed("p2", null));
  assert.equal(world.socket.last("subscribe").since, "p1");
});

test("unsubscribing ends the subscription's events, not the client's", () => {
  const world = connected();
  const subscription = world.client.subscribe(NOTICES);
  const told = [];
  subscription.on("publication", ({ data }) => told.push(data));
  world.subscribed({ position: "p1", head: "p1", recovered: true });
  world.socket.say(notice(2));
  subscription.unsubscribe();
  assert.equal(subscription.state, "unsubscribed");
  world.socket.say(notice(3));
  assert.deepEqual(told, [2]);
  assert.deepEqual(world.told, [2, 3]);
  assert.deepEqual(world.socket.commands("unsubscribe"), []);
  assert.equal(subscription.position, "p2");
  world.client.subscribe(NOTICES);
});

test("after a log reset it is subscribed to anew and says so", () => {
  const world = connected();
  world.socket.say({ type: "unsubscribed", room: NOTICES, code: "log_reset", reason: "replaced" });
  world.socket.drop();
  world.connect(listed("q1", "q1"));
  assert.equal(world.socket.last("subscribe").since, undefined);
  world.subscribed({ position: "q1", head: "q1" });
  assert.equal(world.of("subscribed").at(-1).reason, "log_reset");
});

test("a room that is automatic no more is forgotten, or subscribed to if wanted", () => {
  const world = connected();
  world.socket.drop();
  world.connect();
  assert.deepEqual(world.socket.commands("subscribe"), []);
  world.subscribe({}, NOTICES);
  assert.equal(world.socket.last("subscribe").since, undefined);
});
