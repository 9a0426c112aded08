/** The golden frames, which the gateway's tests read too: every text as it is on the wire. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import client from "../build/index.js";
import messages from "../build/messages.js";
import { ROOM, World } from "./support/world.mjs";

const read = (name) =>
  JSON.parse(readFileSync(new URL(`../../tests/golden/${name}.json`, import.meta.url), "utf8"));
const frames = read("frames");
const TOKEN = "e30.e30.e30";
const POSITION = "0.17.00f1e2d3c4b5";

/** What makes the client send each golden command. */
const SENDING = {
  "connect anonymously": (world) => world.connect(),
  "connect with a token": () => {
    const world = new World("http://a", { token: () => TOKEN });
    world.connect();
    return world;
  },
  "connect after transports have failed": (world) => {
    world.client.connect();
    world.clock.advance(0);
    world.socket.accept();
    world.clock.advance(4000);
    world.connect();
  },
  "subscribe live only": (world) => world.subscribe(),
  "subscribe with history": (world) => world.subscribe({ history: 20 }),
  "subscribe and recover": (world) => world.subscribe({ since: POSITION }),
  "subscribe with a room token": (world) => world.subscribe({ token: TOKEN }, "chat.secret"),
  "publish with a key": (world) => void world.client.publish(ROOM, null, { key: "k-1" }),
  unsubscribe: (world) => world.subscribe().unsubscribe(),
  history: (world) => void world.subscribe().history(10),
  refresh: () => {
    const world = new World("http://a", { token: () => TOKEN });
    world.connect({ expires_in: 1 });
    world.clock.advance(1000);
    return world;
  },
  "request with a time-out": (world) =>
    void world.client.request("orders.cancel", null, { timeout: 2500 }).catch(() => undefined),
  ping: (world) => world.clock.advance(25000),
};

/** What this client never sends: it has no presence, and gives every publish a key and every
 * request a time-out. */
const NEVER = ["presence", "publish", "request"];

for (const { name, text } of frames.commands.filter(({ name }) => !NEVER.includes(name))) {
  test(`command: ${name}`, () => {
    const given = new World();
    const connecting = name.startsWith("connect");
    if (!connecting) given.connect();
    const result = SENDING[name](given);
    const { texts } = (result instanceof World ? result : given).socket;
    const sent = connecting ? texts[0] : texts.at(-1);
    // Ids are counted; the golden ones are examples.
    const { id } = JSON.parse(text);
    assert.equal(sent.replace(/^\{"id":\d+/, `{"id":${id}`), text);
  });
}

test("command: publish, but for the key", () => {
  const world = new World();
  world.connect();
  const { text } = frames.commands.find(({ name }) => name === "publish");
  const { room, data } = JSON.parse(text);
  void world.client.publish(room, data);
  const sent = world.socket.texts.at(-1).replace(/^\{"id":\d+/, '{"id":3');
  assert.equal(sent.replace(',"key":"key-1"}', "}"), text);
});

/** What the client makes of each golden message, told as the events and answers it leads to. */
const MEANING = {
  connected: (world, text) => {
    world.client.connect();
    world.clock.advance(0);
    world.socket.accept();
    world.socket.say(text);
    assert.equal(world.client.state, "connected");
    const { session, user, node } = world.client;
    assert.deepEqual({ session, node }, { session: "s-1", node: "n-1" });
    assert.deepEqual(user, JSON.parse(text).user);
  },
  subscribed: (world, text) => {
    const { position, publications, recovered, reason, more } = JSON.parse(text);
    const subscription = world.subscribe(recovered === undefined ? {} : { since: POSITION });
    world.connect();
    world.socket.say(text);
    assert.equal(subscription.state, "subscribed");
    assert.equal(subscription.position, position);
    const [event] = world.of("subscribed");
    assert.deepEqual([event.recovered, event.reason], [recovered === true, reason ?? null]);
    assert.deepEqual(recovered ? world.of("publication") : event.publications, publications);
    assert.equal(world.socket.commands("subscribe").length, more ? 2 : 1);
  },
  published: async (world, text) => {
    world.connect();
    void world.client.publish("chat.first", 0);
    const promise = world.client.publish(ROOM, 1);
    world.socket.say(text);
    assert.equal((await promise).room, ROOM);
  },
  "unsubscribed reply": (world, text) => {
    world.subscribe();
    world.connect();
    world.subscribed();
    void world.client.publish(ROOM, 1);
    world.client.subscription(ROOM).unsubscribe();
    world.socket.say(text);
    world.socket.say({ type: "publication", room: ROOM });
    assert.equal(world.socket.commands("unsubscribe").length, 2, "the first one was answered");
  },
  history: async (world, text) => {
    world.connect();
    for (let i = 0; i < 2; i++) void world.client.publish(ROOM, i);
    const promise = world.subscribe().history(10);
    world.socket.say(text);
    assert.deepEqual(await promise, { position: POSITION, publications: [] });
  },
  refreshed: (world, text) => {
    const refreshing = new World("http://a", { token: () => TOKEN });
    refreshing.connect({ expires_in: 1 });
    for (let i = 0; i < 4; i++) void refreshing.client.publish(ROOM, i);
    refreshing.clock.advance(1000);
    assert.equal(refreshing.socket.last("refresh").id, JSON.parse(text).id);
    refreshing.socket.say(text);
    assert.equal(refreshing.socket.commands("refresh").length, 1);
  },
  pong: (world, text) => {
    const { id, sent, position } = JSON.parse(text);
    world.subscribe();
    world.connect();
    world.subscribed({ head: "p0" });
    for (let i = 3; i < id; i++) world.client.publish(ROOM, i).catch(() => undefined);
    for (let i = 0; i < sent; i++) world.socket.say({ type: "presence" });
    for (const { id } of world.socket.commands("publish")) {
      world.socket.say({ type: "published", id, room: ROOM });
    }
    world.clock.advance(25000);
    world.socket.say(text);
    world.socket.drop();
    world.connect();
    assert.equal(world.socket.last("subscribe").since, position);
  },
  error: async (world, text) => {
    const { id, code, reason, temporary } = JSON.parse(text);
    world.connect();
    const promises = [world.client.publish(ROOM, 1), world.client.publish("admin.log", 1)];
    if (id === null) {
      world.socket.say(text);
      const [error] = world.of("error");
      assert.deepEqual([error.code, error.message, error.temporary], [code, reason, temporary]);
      return;
    }
    world.socket.say(text);
    await assert.rejects(promises[id - 2], { code, message: reason, temporary });
  },
  response: async (world, text) => {
    const { id, data } = JSON.parse(text);
    world.connect();
    for (let i = 2; i < id; i++) void world.client.publish(ROOM, i);
    const promise = world.client.request("orders.cancel", {});
    world.socket.say(text);
    assert.deepEqual(await promise, data);
  },
  "refused request": async (world, text) => {
    const { code, reason, refusal } = JSON.parse(text);
    world.connect();
    void world.client.publish(ROOM, 1);
    const promise = world.client.request("orders.cancel", {});
    world.socket.say(text);
    await assert.rejects(promise, { code, message: reason, temporary: false, refusal });
  },
  publication: (world, text) => {
    const push = JSON.parse(text);
    world.subscribe({}, push.room);
    world.connect();
    world.subscribed({ room: push.room, position: POSITION, head: push.previous });
    world.socket.say(text);
    assert.deepEqual(world.of("publication"), [push]);
  },
  "unsubscribed push": (world, text) => {
    world.subscribe();
    world.connect();
    world.subscribed();
    world.socket.say(text);
    assert.equal(world.socket.commands("subscribe").length, 2);
  },
  reconnect: (world, text) => {
    world.connect();
    world.socket.say(text);
    world.clock.advance(JSON.parse(text).after_ms - 1);
    assert.equal(world.client.state, "connected");
    world.clock.advance(1);
    assert.equal(world.client.state, "connecting");
  },
};

for (const { name, text } of frames.messages) {
  test(`message: ${name}`, async () => {
    const message = messages.parse(text);
    assert.deepEqual(message, JSON.parse(text));
    const meaning = MEANING[name] ?? MEANING[message.type];
    await meaning(new World(), text);
  });
}

test("the code tables are the gateway's", () => {
  const { errors, disconnects, unsubscribed, unrecoverable } = read("codes");
  assert.deepEqual(client.ERRORS, errors);
  assert.deepEqual(client.DISCONNECTS, disconnects);
  assert.deepEqual(client.UNSUBSCRIBED, unsubscribed);
  assert.deepEqual(client.UNRECOVERABLE, unrecoverable);
});
