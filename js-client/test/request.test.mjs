/** Requests: sent once, and settled whatever happens. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { World } from "./support/world.mjs";

function connected(options) {
  const world = new World("http://a", options);
  world.connect();
  return world;
}

const answer = (world, { id }, data) => world.socket.say({ type: "response", id, data });

test("a request is fulfilled with what the handler returns", async () => {
  const world = connected();
  const promise = world.client.request("orders.cancel", { order: 7 });
  const command = world.socket.last("request");
  assert.deepEqual(command, {
    id: 2,
    type: "request",
    name: "orders.cancel",
    data: { order: 7 },
    timeout: 30,
  });
  answer(world, command, { status: "cancelled" });
  assert.deepEqual(await promise, { status: "cancelled" });
});

test("without data it is null", () => {
  const world = connected();
  void world.client.request("ping");
  assert.equal(world.socket.last("request").data, null);
});

test("a refusal is told with the handler's reason and code", async () => {
  const world = connected();
  const promise = world.client.request("orders.cancel", 1);
  const { id } = world.socket.last("request");
  const reason = "It is too late.";
  const refused = { type: "error", id, code: "request_failed", reason, temporary: false };
  world.socket.say({ ...refused, refusal: "late" });
  await assert.rejects(promise, {
    name: "RoomlineError",
    code: "request_failed",
    message: reason,
    temporary: false,
    refusal: "late",
  });
});

test("a lost connection rejects what was sent, and it is not sent again", async () => {
  const world = connected();
  const promise = world.client.request("orders.cancel", 1);
  world.socket.drop();
  await assert.rejects(promise, { code: "connection_lost", temporary: true });
  world.connect();
  assert.equal(world.socket.commands("request").length, 0);
});

test("what is asked for before there is a connection is sent when there is one", async () => {
  const world = new World();
  world.client.connect();
  const promises = [1, 2].map((data) => world.client.request("a", data));
  world.connect();
  const commands = world.socket.commands("request");
  assert.deepEqual(
    commands.map(({ data }) => data),
    [1, 2],
  );
  for (const command of commands) answer(world, command, command.data);
  assert.deepEqual(await Promise.all(promises), [1, 2]);
});

test("without a connection its time runs out", async () => {
  const world = new World();
  world.client.connect();
  const promise = world.client.request("a", 1, { timeout: 500 });
  const other = world.client.request("a", 2);
  world.clock.advance(500);
  await assert.rejects(promise, { code: "timeout", temporary: true });
  world.connect();
  assert.deepEqual(
    world.socket.commands("request").map(({ data }) => data),
    [2],
  );
  answer(world, world.socket.last("request"), 2);
  assert.equal(await other, 2);
});

test("a gateway that says nothing is not waited for much longer than agreed", async () => {
  const world = connected({ timeouts: { reply: 1000, request: 2000, ping: 1e6 } });
  const promise = world.client.request("a", 1);
  assert.equal(world.socket.last("request").timeout, 2);
  world.clock.advance(3000);
  await assert.rejects(promise, { code: "timeout", temporary: true });
});

test("a client that is disconnected asks nobody", async () => {
  const world = new World();
  await assert.rejects(world.client.request("a", 1), { code: "disconnected", temporary: true });
});

test("disconnecting rejects everything", async () => {
  const world = connected();
  const sent = world.client.request("a", 1);
  world.client.disconnect();
  await assert.rejects(sent, { temporary: true });
  world.client.connect();
  const unsent = world.client.request("a", 2);
  world.client.disconnect();
  await assert.rejects(unsent, { code: "disconnected", temporary: true });
});

test("requests that wait hold up no other command", () => {
  const world = connected();
  for (let i = 0; i < 20; i++) void world.client.request("a", i);
  assert.equal(world.socket.commands("request").length, 20);
  world.subscribe();
  assert.equal(world.socket.commands("subscribe").length, 1);
});

test("only so many may wait", async () => {
  const world = connected({ maxPending: 2 });
  const first = world.client.request("a", 1);
  void world.client.request("a", 2);
  await assert.rejects(world.client.request("a", 3), { code: "too_many_pending", temporary: true });
  answer(world, world.socket.commands("request")[0], 1);
  await first;
  void world.client.request("a", 4);
  assert.equal(world.socket.last("request").data, 4);
});

test("what JSON cannot carry is refused", async () => {
  const world = connected();
  await assert.rejects(world.client.request("a", () => 1), { code: "bad_request" });
});

test("what is too long for the gateway is not sent", async () => {
  const world = connected();
  await assert.rejects(world.client.request("a", "x".repeat(70000)), { code: "too_large" });
  void world.client.request("a", 1);
  assert.equal(world.socket.last("request").data, 1);
});
