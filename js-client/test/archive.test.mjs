/** Older publications: joined to what was told, without gap or repeat, whatever happens meanwhile. */

import assert from "node:assert/strict";
import { test } from "node:test";
import archiving from "../build/archive.js";
import client from "../build/index.js";
import { publication, ROOM, World } from "./support/world.mjs";

/** An archive of the room's publications 1 to `last`, that the test controls. */
class Archive {
  queries = [];
  /** Called before each answer. */
  meanwhile = () => undefined;

  constructor(last) {
    this.last = last;
  }

  source = (room, query) => {
    this.queries.push(query);
    assert.equal(room, ROOM);
    return Promise.resolve().then(() => {
      this.meanwhile();
      const named = query.before ?? query.until;
      const at = named === undefined ? this.last : Number(named.slice(1));
      if (at > this.last) return { publications: [], more: false, complete: false };
      const end = query.before === undefined ? at : at - 1;
      const begin = Math.max(1, end - query.limit + 1);
      const publications = [];
      for (let n = begin; n <= end; n++) publications.push(publication(n));
      return { publications, more: begin > 1, complete: true };
    });
  };
}

const numbers = (page) => page.publications.map(({ data }) => data);

/** Let promises settle, and time pass. */
async function turn(world, milliseconds = 0) {
  for (let i = 0; i < 8; i++) await Promise.resolve();
  if (milliseconds) world.clock.advance(milliseconds);
  for (let i = 0; i < 8; i++) await Promise.resolve();
}

function subscribed(archive, fields) {
  const world = new World("http://a", { archive: archive.source });
  world.subscription = world.subscribe({ history: 5 });
  world.connect();
  world.subscribed(fields);
  return world;
}

test("pages join the history and each other", async () => {
  const archive = new Archive(10);
  const world = subscribed(archive, {
    position: "p10",
    head: "p10",
    publications: [publication(9), publication(10)],
  });
  assert.deepEqual(numbers(await world.subscription.older(4)), [5, 6, 7, 8]);
  const last = await world.subscription.older(10);
  assert.deepEqual(numbers(last), [1, 2, 3, 4]);
  assert.equal(last.more, false);
  assert.deepEqual(archive.queries, [
    { limit: 4, before: "p9" },
    { limit: 10, before: "p5" },
  ]);
});

test("without a history the room's head is where it begins", async () => {
  const archive = new Archive(3);
  const world = subscribed(archive, { position: "p7", head: "p3", publications: [] });
  archive.meanwhile = () => world.socket.say(publication(8, 3));
  assert.deepEqual(numbers(await world.subscription.older(2)), [2, 3]);
  assert.deepEqual(archive.queries, [{ limit: 2, until: "p3" }]);
  archive.meanwhile = () => undefined;
  assert.deepEqual(numbers(await world.subscription.older(2)), [1]);
});

test("a room without any publication in the log may have some in the archive", async () => {
  const archive = new Archive(3);
  const world = subscribed(archive, { position: "p3", head: null, publications: [] });
  assert.deepEqual(numbers(await world.subscription.older(2)), [2, 3]);
  assert.deepEqual(archive.queries, [{ limit: 2, until: "p3" }]);
});

for (const when of ["before", "after"]) {
  test(`what is told ${when} the archive has answered is not told twice`, async () => {
    const archive = new Archive(3);
    const world = subscribed(archive, { position: "p3", head: null, publications: [] });
    const push = () => world.socket.say(publication(4, null));
    // The archive has it already, whenever its push arrives.
    archive.last = 4;
    if (when === "before") archive.meanwhile = push;
    assert.deepEqual(numbers(await world.subscription.older(5)), [1, 2, 3]);
    if (when === "after") push();
    assert.deepEqual(archive.queries, [{ limit: 5, until: "p3" }]);
    assert.deepEqual(world.told, [4]);
  });
}

test("an archive that is behind is asked again", async () => {
  const archive = new Archive(8);
  const world = subscribed(archive, {
    position: "p10",
    head: "p10",
    publications: [publication(9), publication(10)],
  });
  const page = world.subscription.older(2);
  await turn(world, 1000);
  assert.equal(archive.queries.length, 2);
  archive.last = 9;
  await turn(world, 5000);
  assert.deepEqual(numbers(await page), [7, 8]);
});

test("an archive that stays behind is given up, and may be asked later", async () => {
  const archive = new Archive(0);
  const world = subscribed(archive, { position: "p1", head: "p1", publications: [publication(1)] });
  const page = world.subscription.older(2);
  const rejected = assert.rejects(page, {
    name: "RoomlineError",
    code: "archive_behind",
    temporary: true,
    room: ROOM,
  });
  for (let i = 0; i < 40; i++) await turn(world, 1000);
  await rejected;
  const { length } = archive.queries;
  assert.ok(length > 5 && length < 60, `${length} questions`);
  await turn(world, 60000);
  assert.equal(archive.queries.length, length, "it is not asked any more");
  archive.last = 1;
  assert.deepEqual(numbers(await world.subscription.older(2)), []);
});

test("a history that is loaded anew is where it begins anew", async () => {
  const archive = new Archive(20);
  const world = subscribed(archive, {
    position: "p10",
    head: "p10",
    publications: [publication(9), publication(10)],
  });
  archive.meanwhile = () => {
    archive.meanwhile = () => undefined;
    world.socket.say({ type: "unsubscribed", room: ROOM, code: "log_reset", reason: "" });
    world.subscribed({ position: "p20", head: "p20", publications: [publication(20)] });
  };
  assert.deepEqual(numbers(await world.subscription.older(2)), [18, 19]);
});

test("what is recovered does not move where it goes on", async () => {
  const archive = new Archive(20);
  const world = subscribed(archive, {
    position: "p10",
    head: "p10",
    publications: [publication(9), publication(10)],
  });
  world.socket.drop();
  world.connect();
  world.subscribed({
    position: "p11",
    head: "p11",
    recovered: true,
    publications: [publication(11)],
  });
  assert.deepEqual(numbers(await world.subscription.older(2)), [7, 8]);
});

test("pages that are asked for at once come one after the other", async () => {
  const archive = new Archive(10);
  const world = subscribed(archive, {
    position: "p10",
    head: "p10",
    publications: [publication(10)],
  });
  const pages = await Promise.all([1, 2, 3].map((limit) => world.subscription.older(limit)));
  assert.deepEqual(pages.map(numbers), [[9], [7, 8], [4, 5, 6]]);
});

test("a refusal for good ends it, another one is tried again", async () => {
  let refusal = { code: "forbidden", temporary: false };
  let asked = 0;
  const source = () => {
    asked += 1;
    return Promise.reject(refusal);
  };
  const world = subscribed({ source }, { position: "p1", head: "p1" });
  await assert.rejects(world.subscription.older(2), { code: "forbidden" });
  assert.equal(asked, 1);
  refusal = { code: "archive_failed", temporary: true };
  const rejected = assert.rejects(world.subscription.older(2), { code: "archive_failed" });
  for (let i = 0; i < 40; i++) await turn(world, 1000);
  await rejected;
  assert.ok(asked > 3);
});

test("before the first answer, and without an archive, there is nothing to ask", async () => {
  const early = new World("http://a", { archive: new Archive(1).source });
  await assert.rejects(early.subscribe().older(1), { code: "disconnected", temporary: true });
  const without = World.subscribed();
  await assert.rejects(without.subscription.older(1), /options\.archive must name/);
  assert.throws(
    () => new client.Roomline("http://a", { SockJS: without.SockJS, archive: 7 }),
    /options\.archive must be a URL or a function/,
  );
});

test("an archive behind a URL is asked over HTTP", async () => {
  const requests = [];
  let answer = [200, '{"publications":[],"more":false,"complete":true}'];
  globalThis.XMLHttpRequest = class {
    open(...of) {
      requests.push(of.join(" "));
    }
    send() {
      [this.status, this.responseText] = answer;
      this.readyState = 4;
      this.onreadystatechange();
    }
  };
  try {
    const ask = archiving.archiveAt("/archive/");
    assert.equal((await ask(ROOM, { limit: 3, before: "0.1.a b" })).complete, true);
    await ask(ROOM, { limit: 3, until: "p1" });
    assert.deepEqual(requests, [
      "GET /archive/chat.lobby?limit=3&before=0.1.a%20b",
      "GET /archive/chat.lobby?limit=3&until=p1",
    ]);
    answer = [403, '{"code":"forbidden","reason":"not for you"}'];
    await assert.rejects(ask(ROOM, { limit: 1 }), { code: "forbidden", temporary: false });
    answer = [502, "<html>"];
    await assert.rejects(ask(ROOM, { limit: 1 }), { code: "archive_failed", temporary: true });
    answer = [0, ""];
    await assert.rejects(ask(ROOM, { limit: 1 }), { temporary: true });
  } finally {
    delete globalThis.XMLHttpRequest;
  }
});
