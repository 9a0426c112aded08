/** The connection: states, endpoints, backoff, tokens, watchdog, moving, closing. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { settled } from "./support/clock.mjs";
import { publication, ROOM, World } from "./support/world.mjs";

const states = (world) => world.of("state").map(({ state }) => state);

test("connecting goes through the states and tells whom it met", () => {
  const world = new World();
  const { client } = world;
  assert.equal(client.state, "disconnected");
  assert.equal(world.SockJS.made.length, 0, "nothing is opened before connect()");
  client.connect();
  client.connect();
  assert.equal(client.state, "connecting");
  world.connect({ user: { id: "7", name: "Ann" } });
  assert.equal(world.SockJS.made.length, 1);
  assert.deepEqual(states(world), ["connecting", "connected"]);
  assert.deepEqual(
    [client.session, client.user, client.node, client.transport],
    ["s-1", { id: "7", name: "Ann" }, "n-1", "websocket"],
  );
  assert.equal(world.of("connected")[0].user.name, "Ann");
  client.disconnect();
  assert.deepEqual(
    [client.state, client.session, client.user, client.node, client.transport],
    ["disconnected", null, null, null, null],
  );
  assert.ok(world.socket.closed);
});

test("disconnecting stops every timer, whatever is going on", async () => {
  const stages = {
    opening: (world) => world.clock.advance(0),
    welcoming: (world) => {
      world.clock.advance(0);
      world.socket.accept();
    },
    connected: (world) => {
      world.subscribe();
      world.connect({ expires_in: 600 });
      world.client.publish(ROOM, 1).catch(() => undefined);
      world.refuse(world.socket.commands("publish")[0], "unavailable", true);
      world.refuse(world.socket.commands("subscribe")[0], "catching_up", true);
    },
    pinging: (world) => {
      world.connect();
      world.clock.advance(25000);
    },
    moving: (world) => {
      world.connect();
      world.socket.say({ type: "reconnect", after_ms: 1000 });
    },
    waiting: (world) => {
      world.connect();
      world.socket.drop();
    },
  };
  for (const [stage, reach] of Object.entries(stages)) {
    const world = new World("http://a", { token: () => "t" });
    world.client.connect();
    reach(world);
    assert.notEqual(world.clock.running, 0, stage);
    world.client.disconnect();
    assert.equal(world.clock.running, 0, stage);
    world.clock.advance(3600_000);
    assert.equal(world.client.state, "disconnected");
  }
  const world = new World("http://a", { token: () => new Promise(() => undefined) });
  world.client.connect();
  world.clock.advance(0);
  world.client.disconnect();
  assert.equal(world.clock.running, 0, "waiting for a token");
});

test("disconnecting and connecting again continues", () => {
  const world = World.subscribed();
  world.client.disconnect();
  assert.equal(world.subscription.state, "subscribing");
  world.connect();
  assert.equal(world.socket.last("subscribe").since, "p1");
});

test("an old connection says nothing any more", () => {
  const world = World.subscribed();
  const old = world.socket;
  const { onmessage } = old;
  world.client.disconnect();
  assert.deepEqual([old.onopen, old.onmessage, old.onclose], [null, null, null]);
  onmessage({ data: JSON.stringify(publication(2)) });
  assert.deepEqual(world.told, []);
});

test("the backoff is exponential with full jitter", () => {
  for (const [randomness, waits] of [
    [0, [0, 0, 0, 0, 0, 0, 0, 0]],
    [0.5, [250, 500, 1000, 2000, 4000, 8000, 10000, 10000]],
    [0.9999, [499, 999, 1999, 3999, 7999, 15998, 19998, 19998]],
  ]) {
    const world = new World();
    world.randomness = randomness;
    world.client.connect();
    world.clock.advance(0);
    for (const wait of waits) {
      world.socket.drop(1002, "All transports failed");
      assert.equal(world.of("state").at(-1).retryIn, wait);
      assert.equal(world.clock.next, wait);
      world.clock.advance(wait);
    }
  }
});

test("the backoff starts over only after 30 stable seconds", () => {
  const world = new World();
  world.connect();
  const waitAfter = (stable) => {
    // Pongs keep it alive.
    for (let passed = 0; passed < stable; passed += 1000) {
      world.clock.advance(1000);
      const ping = world.socket.commands().at(-1);
      if (ping.type === "ping") {
        world.socket.say({ type: "pong", id: ping.id, sent: 0, position: "p0" });
      }
    }
    world.socket.drop();
    const { retryIn } = world.of("state").at(-1);
    world.connect();
    return retryIn;
  };
  assert.deepEqual([0, 10000, 29000, 30000, 0].map(waitAfter), [250, 500, 1000, 250, 500]);
});

test("with several endpoints the next one is tried when one fails or is lost", () => {
  const world = new World(["http://a", "http://b", "http://c"]);
  world.client.connect();
  world.clock.advance(0);
  world.socket.drop(1002, "no");
  world.clock.advance(world.clock.next);
  world.welcome();
  world.socket.drop();
  world.clock.advance(world.clock.next);
  world.clock.advance(20000); // never opens
  world.clock.advance(world.clock.next);
  assert.deepEqual(
    world.SockJS.made.map(({ url }) => url),
    ["http://a", "http://b", "http://c", "http://a"],
  );
});

test("an endpoint that does not open in time is given up", () => {
  const world = new World();
  world.client.connect();
  world.clock.advance(0);
  const { socket } = world;
  world.clock.advance(19999);
  assert.ok(!socket.closed);
  world.clock.advance(1);
  assert.ok(socket.closed);
  assert.match(world.of("state").at(-1).reason, /not open within 20000 ms/);
});

test("a connect that is not answered in time is given up", () => {
  const world = new World();
  world.client.connect();
  world.clock.advance(0);
  const { socket } = world;
  // The last resort: there is no other transport that could do better.
  socket.accept("xhr-polling");
  world.clock.advance(9999);
  assert.ok(!socket.closed);
  world.clock.advance(1);
  assert.ok(socket.closed);
  assert.equal(world.client.state, "connecting");
  assert.equal(world.of("error")[0].code, "timeout");
});

test("a URL that SockJS refuses is as good as an endpoint that fails", () => {
  const made = [];
  class Picky {
    constructor(url) {
      made.push(url);
      throw new SyntaxError(`The URL's scheme must be either 'http:' or 'https:'`);
    }
  }
  const world = new World(["ftp://a", "ftp://b"], { SockJS: Picky });
  world.client.connect();
  world.clock.advance(0);
  assert.match(world.of("state").at(-1).reason, /SockJS does not take ftp:\/\/a/);
  world.clock.advance(250);
  assert.deepEqual(made, ["ftp://a", "ftp://b"]);
});

test("SockJS gets a longer time-out and the options of the page", () => {
  const world = new World("http://a", { sockjs: { transports: ["xhr-polling"] } });
  world.client.connect();
  world.clock.advance(0);
  const { timeout, transports } = world.socket.options;
  assert.deepEqual([timeout, transports], [3000, ["xhr-polling"]]);
});

test("a message that is none ends the connection", () => {
  for (const text of ["<html>", "[1]", "null", "7", "{}", '{"type":1}']) {
    const world = new World();
    world.connect();
    world.socket.say(text);
    assert.ok(world.socket.closed, text);
    assert.equal(world.client.state, "connecting");
  }
});

test("a push of a type from the future is counted and otherwise ignored", () => {
  const world = World.subscribed();
  world.socket.say({ type: "presence", room: ROOM, joined: [], left: [], count: 1 });
  world.clock.advance(25000);
  const { id } = world.socket.last("ping");
  world.socket.say({ type: "pong", id, sent: 1, position: "p5" });
  assert.equal(world.socket.commands("subscribe").length, 1, "nothing is missing");
});

// Tokens.

test("an anonymous client keeps its id across reconnects", () => {
  const world = new World();
  for (let i = 0; i < 2; i++) {
    world.connect();
    assert.deepEqual(world.socket.commands()[0], {
      id: 1,
      type: "connect",
      version: 1,
      client: world.client.clientId,
    });
    world.socket.drop();
  }
});

test("a token is asked for at each connect, and may be none", async () => {
  let asked = 0;
  const answers = ["t-1", Promise.resolve("t-2"), null];
  const world = new World("http://a", { token: () => answers[asked++] });
  const connects = [];
  for (let i = 0; i < 3; i++) {
    world.client.connect();
    world.clock.advance(world.clock.next);
    await settled();
    world.welcome();
    const { token, client } = world.socket.commands()[0];
    connects.push([token, client]);
    world.socket.drop();
  }
  assert.deepEqual(connects, [
    ["t-1", undefined],
    ["t-2", undefined],
    [undefined, world.client.clientId],
  ]);
});

test("a token callback that fails is asked again with backoff", async () => {
  const answers = [
    () => Promise.reject(new Error("offline")),
    () => {
      throw new Error("bug");
    },
    () => "",
    () => 7,
    () => new Promise(() => undefined),
    () => "t-1",
  ];
  const world = new World("http://a", { token: () => answers.shift()() });
  world.client.connect();
  world.clock.advance(0);
  for (const [wait, message] of [
    [250, /failed: offline/],
    [500, /failed: bug/],
    [1000, /gave an empty text/],
    [2000, /gave number/],
  ]) {
    await settled();
    const error = world.of("error").at(-1);
    assert.match(error.message, message);
    assert.deepEqual([error.code, error.temporary], ["token_failed", true]);
    assert.equal(world.client.state, "connecting");
    assert.equal(world.SockJS.made.length, 0);
    assert.equal(world.clock.next, wait);
    world.clock.advance(wait);
  }
  world.clock.advance(10000);
  assert.match(world.of("error").at(-1).message, /no token within 10000 ms/);
  world.connect();
  assert.equal(world.socket.commands()[0].token, "t-1");
});

test("a token that comes after the client gave up waiting is not used", async () => {
  let late;
  const answers = [new Promise((resolve) => (late = resolve)), new Promise(() => undefined)];
  const world = new World("http://a", { token: () => answers.shift() });
  world.client.connect();
  world.clock.advance(10000 + 250);
  late("t-late");
  await settled();
  assert.equal(world.SockJS.made.length, 0);
});

for (const ending of ["give a token", "throw"]) {
  test(`a token callback may disconnect and then ${ending}`, () => {
    const world = new World("http://a", {
      token: () => {
        world.client.disconnect();
        if (ending === "throw") throw new Error("bug");
        return "t";
      },
    });
    world.client.connect();
    world.clock.advance(0);
    assert.equal(world.client.state, "disconnected");
    assert.equal(world.SockJS.made.length, 0);
    assert.equal(world.clock.running, 0);
  });
}

/** What an application rejects with when asking again is no use. */
const noMore = () => Object.assign(new Error("log in first"), { temporary: false });

for (const [how, token] of [
  ["rejects", () => Promise.reject(noMore())],
  [
    "throws",
    () => {
      throw noMore();
    },
  ],
]) {
  test(`a token callback that ${how} for good disconnects`, async () => {
    const world = new World("http://a", { token });
    world.client.connect();
    const publish = world.client.publish(ROOM, 1);
    world.clock.advance(0);
    await assert.rejects(publish, { code: "disconnected", message: /log in first/ });
    assert.equal(world.client.state, "disconnected");
    assert.match(world.of("state").at(-1).reason, /log in first/);
    const [error, ...others] = world.of("error");
    assert.deepEqual([error.code, error.temporary, others], ["token_failed", false, []]);
    assert.equal(world.SockJS.made.length, 0);
    assert.equal(world.clock.running, 0);
  });
}

test("a token that is refused for good when it is to be refreshed disconnects", async () => {
  const answers = ["t-1", Promise.reject(noMore())];
  const world = new World("http://a", { token: () => answers.shift() });
  world.connect({ expires_in: 10 });
  world.clock.advance(8000);
  await settled();
  assert.equal(world.client.state, "disconnected");
  assert.ok(world.socket.closed);
  assert.equal(world.of("error")[0].temporary, false);
  assert.equal(world.clock.running, 0);
});

test("a token is refreshed in place before it expires", async () => {
  let asked = 0;
  const world = new World("http://a", { token: async () => `t-${++asked}` });
  world.client.connect();
  world.clock.advance(0);
  await settled();
  world.welcome({ expires_in: 20 });
  world.clock.advance(15999);
  assert.equal(asked, 1);
  world.clock.advance(1);
  await settled();
  assert.deepEqual(world.socket.last("refresh"), { id: 2, type: "refresh", token: "t-2" });
  world.socket.say({ type: "refreshed", id: 2, expires_in: 10 });
  world.clock.advance(8000);
  await settled();
  assert.equal(world.socket.last("refresh").token, "t-3");
});

test("a refresh that fails is tried again, and stops when the session ends", () => {
  const answers = ["t-1", null, "t-2", "t-3"];
  const world = new World("http://a", { token: () => answers.shift() });
  world.connect({ expires_in: 10 });
  world.clock.advance(8000);
  assert.match(world.of("error")[0].message, /no token to refresh/);
  world.clock.advance(250);
  world.refuse(world.socket.last("refresh"), "unavailable", true);
  world.clock.advance(500);
  assert.equal(world.socket.last("refresh").token, "t-3");
  world.socket.drop(3004, "token expired");
  assert.equal(world.client.state, "connecting");
  world.clock.advance(0);
  assert.equal(world.clock.running, 1, "only the next attempt");
});

test("tokens that live for no time at all are no busy loop", () => {
  let asked = 0;
  const world = new World("http://a", { token: () => `t-${++asked}` });
  world.connect({ expires_in: 0 });
  world.clock.advance(999);
  assert.equal(asked, 1);
  world.clock.advance(1);
  assert.equal(asked, 2);
});

test("a token that lives longer than timers reach is not refreshed at once", () => {
  let asked = 0;
  const world = new World("http://a", { token: () => `t-${++asked}`, timeouts: { ping: 1e9 } });
  world.connect({ expires_in: 1e9 });
  assert.ok(world.clock.next <= 0x7fffffff);
  world.clock.advance(1e8);
  assert.equal(asked, 1);
});

test("a session without an expiry is not refreshed", () => {
  let asked = 0;
  const world = new World("http://a", { token: () => `t-${++asked}`, timeouts: { ping: 1e9 } });
  world.connect({ expires_in: null });
  world.clock.advance(1e8);
  assert.equal(asked, 1);
});

// The gateway's word.

for (const code of [3500, 3501, 3502, 3999]) {
  test(`close code ${code} is final`, async () => {
    const world = World.subscribed();
    const publish = world.client.publish(ROOM, 1);
    world.socket.drop(code, "enough");
    assert.equal(world.client.state, "disconnected");
    const [error] = world.of("error");
    assert.deepEqual([error.code, error.temporary], [code, false]);
    assert.equal(world.clock.running, 0);
    await assert.rejects(publish, { code: "disconnected" });
    world.connect();
    assert.equal(world.socket.last("subscribe").since, "p1", "connect() starts over");
  });
}

for (const code of [1000, 1002, 1006, 2010, 3000, 3001, 3002, 3004, 3499, 4000, 4500]) {
  test(`close code ${code} is not final`, () => {
    const world = World.subscribed();
    world.socket.drop(code, "for now");
    assert.deepEqual(world.of("error"), []);
    const { state, code: told, retryIn } = world.of("state")[0];
    assert.deepEqual([state, told, retryIn], ["connecting", code, 250]);
    world.connect();
  });
}

for (const code of ["token_invalid", "token_required", "bad_version", "forbidden"]) {
  test(`connect refused with ${code} is final`, () => {
    const world = new World();
    world.client.connect();
    world.clock.advance(0);
    world.socket.accept();
    world.refuse(world.socket.last("connect"), code);
    assert.equal(world.client.state, "disconnected");
    assert.equal(world.of("error")[0].code, code);
    assert.ok(world.socket.closed);
    assert.equal(world.clock.running, 0);
  });
}

for (const [code, temporary] of [
  ["catching_up", true],
  ["unavailable", true],
  ["token_expired", false], // a new one is asked for
  ["token_revoked", false],
]) {
  test(`connect refused with ${code} is tried again`, () => {
    let asked = 0;
    const world = new World(["http://a", "http://b"], { token: () => `t-${++asked}` });
    world.client.connect();
    world.clock.advance(0);
    world.socket.accept();
    world.refuse(world.socket.last("connect"), code, temporary);
    assert.equal(world.client.state, "connecting");
    world.connect();
    assert.equal(world.socket.url, "http://b");
    assert.equal(world.socket.commands()[0].token, "t-2");
  });
}

test("asked to reconnect, it stays for the given time and leaves without backoff", () => {
  const world = new World(["http://a", "http://b"]);
  const subscription = world.subscribe();
  world.connect();
  world.subscribed({ position: "p1", head: "p1" });
  const old = world.socket;
  old.say({ type: "reconnect", after_ms: 1200 });
  world.clock.advance(1199);
  old.say(publication(2));
  assert.deepEqual(world.told, [2], "still subscribed");
  world.clock.advance(1);
  assert.ok(old.closed);
  assert.equal(world.of("state").at(-1).retryIn, 0);
  world.clock.advance(0);
  assert.equal(world.socket.url, "http://b");
  world.welcome();
  assert.equal(world.socket.last("subscribe").since, "p2");
  world.subscribed({ position: "p3", head: "p3", recovered: true, publications: [publication(3)] });
  assert.deepEqual(world.told, [2, 3]);
  assert.equal(subscription.state, "subscribed");
});

test("closed as draining before its time was up, it leaves without backoff too", () => {
  const world = new World();
  world.connect();
  world.socket.say({ type: "reconnect", after_ms: 60000 });
  world.socket.drop(3001, "draining");
  assert.equal(world.of("state").at(-1).retryIn, 0);
  world.connect();
  world.socket.say({ type: "reconnect", after_ms: 60000 });
  world.socket.drop(1006, "killed");
  assert.equal(world.of("state").at(-1).retryIn, 500, "a node that dies is no orderly move");
});

test("being sent in circles is slowed down", () => {
  const world = new World(["http://a", "http://b"]);
  const waits = [];
  for (let i = 0; i < 6; i++) {
    world.connect();
    world.socket.say({ type: "reconnect", after_ms: 0 });
    world.clock.advance(0);
    waits.push(world.of("state").filter(({ retryIn }) => retryIn !== null)[i].retryIn);
  }
  assert.deepEqual(waits, [0, 0, 0, 2000, 4000, 8000]);
});

test("an error without an id is told", () => {
  const world = new World();
  world.connect();
  world.socket.say({
    type: "error",
    id: null,
    code: "bad_request",
    reason: "not JSON",
    temporary: false,
  });
  assert.equal(world.of("error")[0].code, "bad_request");
});

// The watchdog.

/** Let the next ping be sent and answered. */
function pong(world, sent, position) {
  world.clock.advance(25000);
  world.socket.say({ type: "pong", id: world.socket.last("ping").id, sent, position });
}

/** `[room, since]` of the `subscribe`s on the latest socket. */
const sinces = (world) =>
  world.socket.commands("subscribe").map(({ room, since }) => [room, since]);

test("a ping whose count agrees moves where a room with a head is continued from", () => {
  const world = World.subscribed();
  world.subscribe({}, "chat.other");
  world.subscribed({ room: "chat.other", position: "p1", head: null });
  world.socket.say(publication(2));
  pong(world, 1, "p9");
  world.socket.say(publication(10, 2));
  assert.deepEqual(world.told, [2, 10], "the head did not move");
  pong(world, 2, "p11");
  assert.equal(world.subscription.position, "p10", "what applications keep is proved");
  world.socket.drop();
  world.connect();
  assert.deepEqual(sinces(world), [
    [ROOM, "p11"],
    ["chat.other", "p1"],
  ]);
  // Its last publication is the one that is held: nothing was missed, however far back it is.
  world.socket.say({
    type: "subscribed",
    id: world.socket.commands("subscribe")[0].id,
    room: ROOM,
    position: "p12",
    head: "p10",
    recovered: true,
    publications: [],
  });
  assert.deepEqual([world.subscription.state, world.subscription.position], ["subscribed", "p12"]);
  assert.equal(sinces(world).length, 2);
});

test("after a ping moved, what was missed since is recovered by one command", () => {
  const world = World.subscribed();
  pong(world, 0, "p5");
  world.socket.drop();
  world.connect();
  world.subscribed({
    position: "p7",
    head: "p7",
    recovered: true,
    publications: [publication(6, 1), publication(7)],
  });
  assert.deepEqual(world.told, [6, 7]);
  assert.deepEqual(sinces(world), [[ROOM, "p5"]]);
});

/** `ROOM` was sent p2 and p3 and got p3 never and p2 twice, so that the count agrees. */
function coincidence() {
  const world = World.subscribed();
  world.socket.say(publication(2));
  world.socket.say(publication(2));
  pong(world, 2, "p3");
  return world;
}

for (const [what, after] of [
  ["a count that disagrees", (world) => pong(world, 3, "p4")],
  [
    "a lost connection",
    (world) => {
      world.socket.drop();
      world.connect();
    },
  ],
]) {
  for (const [later, page] of [
    ["another publication", { head: "p4", publications: [publication(4)] }],
    ["no other publication", { head: "p3", publications: [] }],
    ["a head that was trimmed", { head: null, publications: [] }],
    ["an empty page that is not the last", { head: "p2", publications: [], more: true }],
  ]) {
    test(`${what} after a count that agreed by coincidence, and ${later}: nothing is lost`, () => {
      const world = coincidence();
      after(world);
      assert.equal(world.socket.last("subscribe").since, "p3");
      world.subscribed({ position: "p4", recovered: true, ...page });
      assert.equal(world.subscription.state, "subscribing");
      assert.deepEqual(world.told, [2]);
      assert.equal(world.socket.last("subscribe").since, "p2");
      const publications = [publication(3), publication(4)];
      world.subscribed({ position: "p4", head: "p4", recovered: true, publications });
      assert.deepEqual(world.told, [2, 3, 4]);
      assert.equal(world.of("subscribed").length, 1);
      assert.equal(world.subscription.state, "subscribed");
    });
  }
}

test("what cannot be continued from the proved position either is told as lost", () => {
  const world = coincidence();
  world.socket.drop();
  world.connect();
  world.subscribed({ position: "p4", head: "p4", recovered: true, publications: [publication(4)] });
  const lost = { recovered: false, reason: "trimmed" };
  world.subscribed({ position: "p4", head: "p4", publications: [], ...lost });
  const [event] = world.of("subscribed");
  assert.deepEqual([event.recovered, event.reason], [false, "trimmed"]);
  assert.equal(sinces(world).length, 2);
});

test("a ping whose count disagrees recovers every room: the last push was lost", () => {
  const world = World.subscribed();
  world.subscribe({}, "chat.other");
  world.subscribed({ room: "chat.other", position: "p1", head: null });
  world.clock.advance(25000);
  world.socket.say({ type: "pong", id: world.socket.last("ping").id, sent: 1, position: "p2" });
  const again = world.socket.commands("subscribe").slice(2);
  assert.deepEqual(
    again.map(({ room, since }) => [room, since]),
    [
      [ROOM, "p1"],
      ["chat.other", "p1"],
    ],
  );
  world.socket.say({
    type: "subscribed",
    id: again[0].id,
    room: ROOM,
    position: "p2",
    head: "p2",
    recovered: true,
    publications: [publication(2)],
  });
  assert.deepEqual(world.told, [2]);
  world.subscribed({ room: "chat.other", position: "p2", head: null, recovered: true });
  pong(world, 1, "p3");
  assert.equal(world.socket.commands("subscribe").length, 4, "once is enough");
});

test("a gap shows that a count agreed by coincidence", () => {
  const world = World.subscribed();
  world.subscribe({}, "chat.other");
  world.subscribed({ room: "chat.other", position: "p1", head: "p1" });
  const other = publication(3, 1, { room: "chat.other" });
  world.socket.say(other);
  world.socket.say(other); // and p2 was lost
  world.clock.advance(25000);
  world.socket.say({ type: "pong", id: world.socket.last("ping").id, sent: 2, position: "p3" });
  world.socket.say(publication(4, 2));
  assert.equal(world.socket.last("subscribe").since, "p1");
});

test("a ping does not move a room whose subscribe is unanswered", () => {
  const world = World.subscribed();
  world.clock.advance(24999);
  world.socket.say(publication(3));
  world.clock.advance(1);
  world.socket.say({ type: "pong", id: world.socket.last("ping").id, sent: 1, position: "p4" });
  assert.equal(world.subscription.position, "p1");
});

test("a gateway that does not answer a ping is left", () => {
  const world = World.subscribed();
  world.clock.advance(25000 + 9999);
  assert.equal(world.client.state, "connected");
  world.clock.advance(1);
  assert.ok(world.socket.closed);
  assert.match(world.of("state")[0].reason, /ping was not answered within 10000 ms/);
  world.connect();
  assert.equal(world.socket.last("subscribe").since, "p1");
});

test("a ping that is refused shows a gateway that is there", () => {
  const world = World.subscribed();
  world.clock.advance(25000);
  world.refuse(world.socket.last("ping"), "rate_limited", true);
  world.clock.advance(25000);
  assert.equal(world.socket.commands("ping").length, 2);
});

test("the count starts over with each session", () => {
  const world = World.subscribed();
  world.socket.say(publication(2));
  world.socket.drop();
  world.connect();
  world.subscribed({ position: "p2", head: "p2", recovered: true });
  pong(world, 0, "p3");
  assert.deepEqual(sinces(world), [[ROOM, "p2"]], "nothing is missing");
});

// Listeners that interfere.

test("a listener may disconnect at any change of state", () => {
  for (const when of ["connecting", "connected"]) {
    const world = new World();
    world.subscribe();
    world.client.on("state", ({ state }) => {
      if (state === when) world.client.disconnect();
    });
    world.client.connect();
    world.clock.advance(0);
    if (when === "connected") {
      world.socket.accept();
      const { id } = world.socket.last("connect");
      world.socket.say({ type: "connected", id, limits: {}, rooms: [], expires_in: null });
      assert.deepEqual(world.socket.commands("subscribe"), []);
    }
    assert.equal(world.client.state, "disconnected", when);
    assert.equal(world.clock.running, 0, when);
    assert.equal(states(world).at(-1), "disconnected");
  }
});

test("a listener may disconnect while the rooms are resumed", async () => {
  const world = new World();
  world.client.on("subscribed", () => world.client.disconnect());
  world.client.connect();
  const promise = world.client.publish(ROOM, 1);
  world.clock.advance(0);
  world.socket.accept();
  const { id } = world.socket.last("connect");
  const rooms = ["user.7", "system.notices"].map((room) => ({ room, position: "p1", head: null }));
  world.socket.say({ type: "connected", id, limits: {}, rooms, expires_in: null });
  await assert.rejects(promise, { code: "disconnected" });
  assert.equal(world.client.state, "disconnected");
  assert.deepEqual(world.of("connected"), []);
  assert.equal(world.clock.running, 0);
});

test("a listener may disconnect when its subscription is interrupted", () => {
  const world = World.subscribed();
  world.subscription.on("state", () => world.client.disconnect());
  world.socket.drop();
  assert.equal(world.client.state, "disconnected");
  assert.equal(world.clock.running, 0);
  assert.deepEqual(states(world), ["disconnected"]);
});

test("a listener may subscribe when connected, once is enough", () => {
  const world = new World();
  world.client.on("state", ({ state }) => {
    if (state === "connected") world.client.subscribe(ROOM);
  });
  world.connect();
  assert.equal(world.socket.commands("subscribe").length, 1);
});

test("options that make no sense are named", () => {
  const bad = (endpoints, options) => () => new World(endpoints, options);
  assert.throws(bad([]), /endpoints must be/);
  assert.throws(bad(""), /endpoints must be/);
  assert.throws(bad(["http://a", 7]), /endpoints must be/);
  assert.throws(bad("http://a", { token: "t" }), /options\.token must be a function/);
  assert.throws(bad("http://a", { clientId: "me" }), /options\.clientId is "me"/);
  assert.throws(bad("http://a", { timeouts: { ping: 0 } }), /options\.timeouts\.ping is 0/);
  assert.throws(bad("http://a", { backoff: { cap: "x" } }), /options\.backoff\.cap is x/);
  assert.throws(bad("http://a", { maxPending: 0 }), /options\.maxPending is 0/);
  assert.throws(bad("http://a", { SockJS: undefined }), /no global SockJS/);
});
