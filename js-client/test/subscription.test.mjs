/** Rooms: subscribing, recovering, gaps, repeats, pages, tokens, automatic rooms. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { settled } from "./support/clock.mjs";
import { publication, ROOM, World } from "./support/world.mjs";

test("a first subscription gives the history and is live", () => {
  const world = new World();
  const subscription = world.subscribe({ history: 2 });
  assert.equal(subscription.state, "subscribing");
  world.connect();
  assert.deepEqual(world.socket.last("subscribe"), { id: 2, type: "subscribe", room: ROOM, history: 2 });
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
