/** Everything at once and at random: each publication is told once, in order, whatever breaks. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { settled } from "./support/clock.mjs";
import { FakeGateway } from "./support/gateway.mjs";
import { World } from "./support/world.mjs";

const ROOMS = ["chat.a", "chat.b", "system.notices"];
const STEPS = 400;

/** mulberry32: small, seeded, good enough to choose faults. */
function generator(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const FAULTS = { break: 0.01, ignore: 0.02, refuse: 0.05 };
// Together they cancel out in the count that a ping compares.
const PUSH_FAULTS = [
  { lose: 0.03, double: 0 },
  { lose: 0, double: 0.03 },
  { lose: 0.1, double: 0.1 },
];
const NO_FAULTS = { lose: 0, double: 0, break: 0, ignore: 0, refuse: 0 };

for (let seed = 1; seed <= 40; seed++) {
  test(`nothing is missed or told twice (seed ${seed})`, async () => {
    const random = generator(seed);
    const faults = { ...FAULTS, ...PUSH_FAULTS[seed % 3] };
    const gateway = new FakeGateway((probability) => random() < probability, faults);
    const world = new World(["http://a", "http://b"], { timeouts: { publish: 1e9 } });
    world.randomness = 0.3;
    const told = new Map(ROOMS.map((room) => [room, []]));
    const lost = [];
    world.client.on("subscribed", ({ room, recovered, reason, publications }) => {
      if (!recovered) told.get(room).push(...publications);
      if (reason !== null) lost.push(reason);
    });
    world.client.on("publication", (publication) => told.get(publication.room).push(publication));

    const step = (milliseconds) => {
      world.clock.advance(milliseconds);
      for (const socket of world.SockJS.made) if (socket.readyState === 0) gateway.accept(socket);
      gateway.pump();
    };
    for (const room of ROOMS.slice(0, 2)) world.client.subscribe(room, { history: 100 });
    world.client.connect();
    const publishes = [];
    let confirmed = 0;
    for (let i = 0; i < STEPS; i++) {
      const room = ROOMS[Math.floor(random() * ROOMS.length)];
      const dice = random();
      if (dice < 0.4) gateway.append(room, `gateway ${i}`);
      else if (dice < 0.6 && publishes.length - confirmed < 30) {
        const promise = world.client.publish(room, `client ${i}`);
        promise.then(() => (confirmed += 1), assert.fail);
        publishes.push(promise);
      } else if (dice < 0.62) world.socket?.say({ type: "reconnect", after_ms: 200 });
      step(Math.floor(random() * 1000));
      await settled();
    }
    gateway.faults = NO_FAULTS;
    for (let i = 0; i < 100; i++) step(1000);
    // Where a lost last push and a doubled one have cancelled out, the next one shows the gap.
    for (const room of ROOMS) gateway.append(room, "the last one");
    for (let i = 0; i < 100; i++) step(1000);
    await settled();

    assert.deepEqual(lost, []);
    assert.equal(confirmed, publishes.length, "every publish was confirmed");
    for (const room of ROOMS) {
      const all = gateway.log.filter((entry) => entry.room === room).map(({ data }) => data);
      const seen = told.get(room).map(({ data }) => data);
      // An automatic room is told from the first connection on.
      const first = room === "system.notices" ? all.indexOf(seen[0]) : 0;
      assert.deepEqual(seen, all.slice(first), room);
      assert.ok(seen.length > 50, "the test tells much");
    }
    assert.ok(world.SockJS.made.length > 3, "connections broke");
    assert.deepEqual(world.reported, []);
    world.client.disconnect();
    assert.equal(world.clock.running, 0);
  });
}
