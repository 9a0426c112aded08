/** Falling back from transports that open but do not deliver: what counts, what is remembered. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { World } from "./support/world.mjs";

const STREAMING = ["xhr-streaming", "xdr-streaming", "eventsource"];
const RELICS = ["iframe-eventsource", "htmlfile", "iframe-htmlfile"];
const POLLING = ["xhr-polling", "xdr-polling", "iframe-xhr-polling", "jsonp-polling"];
const BELOW = { streaming: [...STREAMING, ...POLLING], polling: POLLING };
const KEY = "roomline.transport:http://a";
const ALL = ["websocket", ...BELOW.streaming];
const FIRST = 3600_000 / 8;

/** Let the next attempt begin. */
function next(world) {
  if (world.client.state === "disconnected") world.client.connect();
  while (world.socket?.readyState !== 0) world.clock.advance(world.clock.next);
  return world.socket;
}

/** The next attempt opens by this transport and connects. */
function connects(world, transport) {
  next(world);
  world.welcome({}, transport);
}

/** The next attempt opens by this transport, and nothing comes through. */
function swallows(world, transport) {
  const socket = next(world);
  socket.accept(transport);
  while (!socket.closed) world.clock.advance(world.clock.next);
}

/** The next attempt connects by this transport, and breaks after so many milliseconds. */
function breaks(world, transport, after = 2000) {
  connects(world, transport);
  stays(world, after);
  world.socket.drop();
}

/** The connection delivers for so long. */
function stays(world, milliseconds) {
  for (const end = world.clock.now + milliseconds; world.clock.now < end; ) {
    world.clock.advance(Math.min(world.clock.next ?? Infinity, end - world.clock.now));
    pong(world);
  }
}

/** Answer the ping that waits, if one does. */
function pong(world) {
  const command = world.socket.commands().at(-1);
  if (command.type !== "ping") return;
  world.socket.say({ type: "pong", id: command.id, sent: 0, position: "p0" });
}

/** What the next attempt may use. */
const allowed = (world) => next(world).options.transports;
const report = (world) => world.of("transport").at(-1);
const reasons = (world) => report(world).tried.map(({ transport, reason }) => [transport, reason]);
const memory = (world) => JSON.parse(world.stored.get(KEY) ?? "null");

test("while all is well, SockJS chooses as it likes and nothing is kept", () => {
  const world = new World();
  world.connect();
  assert.deepEqual(world.socket.options.transports, ALL);
  stays(world, 60000);
  assert.deepEqual(report(world), { transport: "websocket", tried: [], ms: 0 });
  assert.equal(world.socket.commands("connect")[0].transport, undefined);
  assert.equal(world.stored.size, 0);
});

test("a transport that opens but carries nothing is left after 4 s, and the next one proves it", () => {
  const world = new World();
  swallows(world, "websocket");
  assert.equal(world.clock.now, 4000);
  assert.match(world.of("error")[0].message, /websocket has opened, but nothing comes through/);
  assert.deepEqual(allowed(world), BELOW.streaming);
  assert.equal(memory(world), null, "nothing is proved yet");
  connects(world, "xhr-streaming");
  assert.deepEqual(report(world), {
    transport: "xhr-streaming",
    tried: [{ transport: "websocket", reason: "unanswered", ms: 4000 }],
    ms: 4250,
  });
  assert.deepEqual(world.socket.commands("connect")[0].transport, {
    tried: report(world).tried,
    ms: 4250,
  });
  assert.deepEqual(memory(world), { from: 1, until: world.now + FIRST, times: 1 });
});

test("the report comes before `connected`", () => {
  const world = new World();
  world.connect();
  const names = world.events.map(([name]) => name);
  assert.deepEqual(names, ["state", "state", "transport", "connected"]);
});

test("a disconnect in the report's listener is the last word", () => {
  const world = new World();
  world.client.on("transport", () => world.client.disconnect());
  next(world).accept();
  const { id } = world.socket.last("connect");
  world.socket.say({ type: "connected", id, limits: {}, expires_in: null, rooms: [] });
  assert.equal(world.of("connected").length, 0);
  assert.equal(world.client.state, "disconnected");
});

test("websocket and streaming swallow: only polling is left", () => {
  const world = new World();
  swallows(world, "websocket");
  swallows(world, "eventsource");
  assert.deepEqual(allowed(world), BELOW.polling);
  connects(world, "xhr-polling");
  assert.deepEqual(reasons(world), [
    ["websocket", "unanswered"],
    ["eventsource", "unanswered"],
  ]);
  assert.equal(memory(world).from, 2);
});

test("a gateway that answers nobody is no transport's fault", () => {
  const world = new World();
  for (const transport of ["websocket", "xhr-streaming", "xhr-polling"]) swallows(world, transport);
  assert.deepEqual(allowed(world), ALL);
  connects(world, "websocket");
  assert.deepEqual(report(world).tried, []);
  assert.equal(world.stored.size, 0);
});

test("a gateway that takes its time for `connect` but answers a ping is waited for", () => {
  const world = new World();
  next(world).accept();
  world.clock.advance(2000);
  const { id } = world.socket.last("ping");
  world.socket.say({ type: "error", id, code: "not_connected", reason: "", temporary: false });
  world.clock.advance(7999);
  assert.ok(!world.socket.closed);
  world.clock.advance(1);
  assert.ok(world.SockJS.made[0].closed);
  assert.deepEqual(allowed(world), ALL);
});

test("an answer to `connect` after the doubt was raised settles it", () => {
  const world = new World();
  next(world).accept();
  world.clock.advance(3999);
  world.welcome();
  world.clock.advance(10000);
  assert.equal(world.client.state, "connected");
});

test("a slow line gets more time", () => {
  const world = new World();
  const socket = next(world);
  world.clock.advance(3000);
  socket.accept();
  world.clock.advance(8999);
  assert.ok(!socket.closed);
  world.clock.advance(1);
  assert.ok(socket.closed);
});

test("a connection that breaks soon, three times in a row, counts against its transport", () => {
  const world = new World();
  breaks(world, "websocket");
  breaks(world, "websocket");
  assert.deepEqual(allowed(world), ALL, "twice is no proof: a gateway may have been killed");
  breaks(world, "websocket");
  assert.deepEqual(allowed(world), BELOW.streaming);
  connects(world, "xhr-streaming");
  assert.deepEqual(reasons(world), [["websocket", "cut"]]);
  assert.equal(memory(world), null, "streaming may break as soon");
  stays(world, 30000);
  assert.equal(memory(world).from, 1);
});

test("so does one that breaks before `connected`", () => {
  const world = new World();
  for (let i = 0; i < 3; i++) {
    next(world).accept();
    world.socket.drop();
  }
  assert.deepEqual(allowed(world), BELOW.streaming);
});

test("a gateway that crashes again and again is no transport's fault", () => {
  const world = new World();
  for (const transport of ["websocket", "xhr-streaming", "xhr-polling"]) {
    for (let i = 0; i < 3; i++) breaks(world, transport);
  }
  assert.deepEqual(allowed(world), ALL);
  assert.equal(world.stored.size, 0);
});

test("what does not count: a restart, a long life, the gateway's own closes, refusals", () => {
  const harmless = {
    "a restart: nobody answers in between": (world) => {
      breaks(world, "websocket");
      next(world).drop(1002, "Cannot connect to server");
    },
    "a long life": (world) => breaks(world, "websocket", 10000),
    "a drain": (world) => {
      connects(world, "websocket");
      world.socket.drop(3001, "draining");
    },
    "a move that was asked for": (world) => {
      breaks(world, "websocket");
      connects(world, "websocket");
      world.socket.say({ type: "reconnect", after_ms: 10 });
      world.clock.advance(10);
    },
    "a slow client": (world) => {
      connects(world, "websocket");
      world.socket.drop(3003, "slow");
    },
    "a temporary refusal": (world) => {
      next(world).accept();
      world.refuse(world.socket.last("connect"), "catching_up", true);
    },
    "a token too old": (world) => {
      next(world).accept();
      world.refuse(world.socket.last("connect"), "token_expired");
    },
  };
  for (const [name, happens] of Object.entries(harmless)) {
    const world = new World();
    for (let i = 0; i < 6; i++) happens(world);
    assert.deepEqual(allowed(world), ALL, name);
    assert.equal(world.stored.size, 0, name);
  }
});

test("a connection that lasts in between starts the count anew", () => {
  const world = new World();
  for (const after of [2000, 2000, 15000, 2000, 2000]) breaks(world, "websocket", after);
  assert.deepEqual(allowed(world), ALL);
});

test("a laptop that slept blames nobody", () => {
  const sleeping = {
    connecting: (world) => {
      next(world).accept();
      world.clock.advance(2000);
      world.slept += 3600_000;
      world.clock.advance(2000);
    },
    "connecting, before the doubt": (world) => {
      next(world).accept();
      world.slept += 3600_000;
      world.clock.advance(4000);
    },
    pinging: (world) => {
      connects(world, "websocket");
      world.clock.advance(25000);
      world.slept += 3600_000;
      world.clock.advance(10000);
    },
    connected: (world) => {
      connects(world, "websocket");
      world.slept += 3600_000;
      world.socket.drop();
    },
  };
  for (const [stage, sleeps] of Object.entries(sleeping)) {
    const world = new World();
    for (let i = 0; i < 4; i++) {
      sleeps(world);
      if (!world.socket.closed) world.socket.drop();
    }
    // Before the doubt, time enough is left to find out without the sleep.
    const blamed = stage === "connecting, before the doubt";
    assert.deepEqual(allowed(world), blamed ? BELOW.streaming : ALL, stage);
    assert.equal(world.stored.size, 0, stage);
  }
});

test("pings that are not answered, twice in a row, count", () => {
  const world = new World();
  for (let i = 0; i < 2; i++) {
    assert.deepEqual(allowed(world), ALL);
    connects(world, "websocket");
    world.clock.advance(35000);
  }
  assert.deepEqual(allowed(world), BELOW.streaming);
  connects(world, "xhr-streaming");
  assert.deepEqual(reasons(world), [["websocket", "silent"]]);
});

test("pongs that come in lumps count at the second one", () => {
  const world = new World();
  connects(world, "websocket");
  const { socket } = world;
  world.clock.advance(25000);
  world.clock.advance(5000);
  pong(world);
  assert.ok(!socket.closed);
  world.clock.advance(0);
  world.clock.advance(5000);
  pong(world);
  assert.ok(socket.closed);
  connects(world, "xhr-streaming");
  assert.deepEqual(reasons(world), [["websocket", "late"]]);
});

test("one late pong is chance", () => {
  const world = new World();
  connects(world, "websocket");
  for (let i = 0; i < 5; i++) {
    world.clock.advance(25000);
    world.clock.advance(5000);
    pong(world);
    world.clock.advance(0);
    pong(world);
  }
  assert.equal(world.client.state, "connected");
});

test("late pongs by the last resort are put up with", () => {
  const world = new World("http://a", { sockjs: { transports: "xhr-polling" } });
  connects(world, "xhr-polling");
  for (let i = 0; i < 5; i++) {
    world.clock.advance(25000);
    world.clock.advance(9000);
    pong(world);
  }
  assert.equal(world.client.state, "connected");
});

test("what SockJS itself tried in vain is reported with its time, and remembered", () => {
  const world = new World();
  const socket = next(world);
  socket.tries("websocket");
  world.clock.advance(3000);
  socket.tries("xhr-streaming");
  world.clock.advance(40);
  world.welcome({}, "eventsource");
  assert.deepEqual(report(world), {
    transport: "eventsource",
    tried: [
      { transport: "websocket", reason: "unopened", ms: 3000 },
      { transport: "xhr-streaming", reason: "unopened", ms: 40 },
    ],
    ms: 3040,
  });
  assert.equal(memory(world).from, 1);
});

test("a gateway that opens nothing promptly is busy: what it did not open is not remembered", () => {
  const world = new World();
  next(world).tries("websocket");
  world.clock.advance(3000);
  world.socket.tries("xhr-streaming");
  world.clock.advance(1000);
  world.welcome({}, "xhr-streaming");
  assert.deepEqual(reasons(world), [["websocket", "unopened"]]);
  assert.equal(memory(world), null);
});

test("another transport of the same family is nothing to remember", () => {
  const world = new World("http://a", { sockjs: { transports: STREAMING } });
  next(world).tries("xhr-streaming");
  connects(world, "eventsource");
  assert.deepEqual(reasons(world), [["xhr-streaming", "unopened"]]);
  assert.equal(world.stored.size, 0);
});

test("the page's own transport options reach SockJS", () => {
  const sockjs = { transportOptions: { websocket: { agent: 1 } } };
  const socket = next(new World("http://a", { sockjs }));
  assert.deepEqual(socket.tries("websocket"), { agent: 1 });
  assert.equal(socket.tries("xhr-polling"), undefined);
});

test("the next page uses what was remembered, and says so", () => {
  const world = new World();
  swallows(world, "websocket");
  connects(world, "xhr-streaming");
  const page = new World("http://a", {}, world.stored);
  assert.deepEqual(allowed(page), BELOW.streaming);
  connects(page, "xhr-streaming");
  assert.deepEqual(report(page).tried, [{ transport: "websocket", reason: "remembered", ms: 0 }]);
  assert.equal(memory(page).times, 1, "using it is no new proof");
  const other = new World("http://b", {}, world.stored);
  assert.deepEqual(allowed(other), ALL, "of this endpoint only");
});

test("the better transport is tried again after the while, which doubles up to its longest", () => {
  const world = new World();
  const whiles = [];
  for (let i = 0; i < 6; i++) {
    assert.deepEqual(allowed(world), ALL);
    swallows(world, "websocket");
    connects(world, "xhr-streaming");
    whiles.push((memory(world).until - world.now) / FIRST);
    world.client.disconnect();
    world.slept += memory(world).until - world.now - 1;
    assert.deepEqual(allowed(world), BELOW.streaming);
    world.client.disconnect();
    world.slept += 1;
  }
  assert.deepEqual(whiles, [1, 2, 4, 8, 8, 8]);
  connects(world, "websocket");
  assert.equal(memory(world), null, "it delivers again");
});

test("what is remembered is forgotten when it does not deliver either", () => {
  const world = new World();
  swallows(world, "websocket");
  connects(world, "xhr-streaming");
  const opens = new World("http://a", {}, new Map(world.stored));
  swallows(opens, "xhr-streaming");
  assert.deepEqual(allowed(opens), ALL);
  assert.equal(memory(opens), null);
  const fails = new World("http://a", {}, new Map(world.stored));
  next(fails).tries("xhr-streaming");
  fails.socket.drop(2000, "All transports failed");
  assert.deepEqual(allowed(fails), ALL);
  assert.equal(memory(fails), null);
  const down = new World("http://a", {}, new Map(world.stored));
  next(down).drop(1002, "Cannot connect to server");
  assert.deepEqual(allowed(down), BELOW.streaming, "an endpoint that is down proves nothing");
});

test("what stands in the storage is not believed blindly", () => {
  const now = new World().now;
  for (const text of [
    "",
    "{",
    "[]",
    "7",
    '{"from":"1"}',
    JSON.stringify({ from: 0.5, until: now + 1000, times: 1 }),
    JSON.stringify({ from: 7, until: now + 1000, times: 1 }),
    JSON.stringify({ from: -1, until: now + 1000, times: 1 }),
    JSON.stringify({ from: 1, until: now + 3600_001, times: 1 }),
    JSON.stringify({ from: 1, until: now, times: 1 }),
  ]) {
    assert.deepEqual(allowed(new World("http://a", {}, new Map([[KEY, text]]))), ALL, text);
  }
});

test("the page's own choice of transports is narrowed, never widened", () => {
  const world = new World("http://a", { sockjs: { transports: ["websocket", "xhr-polling"] } });
  assert.deepEqual(allowed(world), ["websocket", "xhr-polling"]);
  swallows(world, "websocket");
  assert.deepEqual(allowed(world), ["xhr-polling"]);
  const single = new World("http://a", { sockjs: { transports: "websocket" } });
  next(single).accept();
  single.clock.advance(9999);
  assert.ok(!single.SockJS.made[0].closed, "there is nothing to fall back to");
  for (let i = 0; i < 3; i++) breaks(single, "websocket");
  assert.equal(allowed(single), "websocket");
});

test("an old browser gets the transports of its time as well", () => {
  const old = new World("http://a", {}, new Map(), false);
  assert.deepEqual(new Set(allowed(old)), new Set([...ALL, ...RELICS]));
});

test("falling back can be switched off", () => {
  const stored = new Map([[KEY, JSON.stringify({ from: 1, until: Infinity, times: 1 })]]);
  const world = new World("http://a", { fallback: false }, stored);
  for (let i = 0; i < 3; i++) breaks(world, "websocket");
  assert.equal(allowed(world), undefined);
  world.socket.accept();
  world.clock.advance(9999);
  assert.ok(!world.socket.closed);
});

test("its times can be set, and are checked", () => {
  const world = new World("http://a", { fallback: { deliver: 1000 } });
  swallows(world, "websocket");
  assert.equal(world.clock.now, 1000);
  assert.throws(() => new World("http://a", { fallback: { remember: 0 } }), /fallback\.remember/);
});

test("with several endpoints, a transport is left at the one where it failed", () => {
  const world = new World(["http://a", "http://b"]);
  swallows(world, "websocket");
  assert.deepEqual([next(world).url, allowed(world)], ["http://a", BELOW.streaming]);
  world.socket.drop(1002, "Cannot connect to server");
  assert.deepEqual([next(world).url, allowed(world)], ["http://b", ALL]);
});

test("a suspicion that nothing proves lapses", () => {
  const world = new World();
  for (let i = 0; i < 3; i++) breaks(world, "websocket");
  breaks(world, "xhr-streaming", 12000);
  assert.deepEqual(allowed(world), BELOW.streaming);
  for (let i = 0; i < 5; i++) breaks(world, "xhr-streaming", 12000);
  assert.deepEqual(allowed(world), ALL);
  assert.equal(world.stored.size, 0);
});

test("a proof must come soon", () => {
  const world = new World("http://a", { timeouts: { open: 120000 } });
  swallows(world, "websocket");
  const socket = next(world);
  world.clock.advance(61000);
  socket.accept("xhr-streaming");
  world.welcome();
  assert.equal(memory(world), null);
});
