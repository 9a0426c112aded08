/** The small parts alone: timer, backoff, emitter, table, UTF-8 lengths, random ids. */

import assert from "node:assert/strict";
import { test } from "node:test";
import backoff from "../build/backoff.js";
import emitter from "../build/emitter.js";
import environment from "../build/environment.js";
import table from "../build/table.js";
import timer from "../build/timer.js";
import utf8 from "../build/utf8.js";
import { Clock } from "./support/clock.mjs";

test("a timer fires once, restarts, and stops", () => {
  const clock = new Clock();
  const fired = [];
  const one = new timer.Timer(clock, () => fired.push(clock.now));
  one.start(10);
  clock.advance(5);
  one.start(10);
  clock.advance(100);
  assert.deepEqual(fired, [15]);
  one.stop();
  one.start(10);
  one.stop();
  clock.advance(100);
  assert.deepEqual(fired, [15]);
  assert.equal(clock.running, 0);
});

test("a timer may be started by its own action", () => {
  const clock = new Clock();
  let count = 0;
  const one = new timer.Timer(clock, () => {
    if (++count < 3) one.start(10);
  });
  one.start(10);
  clock.advance(100);
  assert.equal(count, 3);
});

test("backoff grows to its cap and spreads over all of the wait", () => {
  let randomness = 0;
  const one = new backoff.Backoff(() => randomness, { base: 100, cap: 1000 });
  assert.deepEqual([one.next(), one.next()], [0, 0]);
  randomness = 0.999;
  assert.deepEqual([one.next(), one.next(), one.next(), one.next()], [399, 799, 999, 999]);
  one.reset();
  assert.equal(one.next(), 99);
  for (let i = 0; i < 2000; i++) assert.ok(one.next() < 1000);
});

test("an emitter calls who listened when it began", () => {
  const reported = [];
  const one = new emitter.Emitter({ report: (error) => reported.push(error) });
  const heard = [];
  const removeSecond = one.on("x", (value) => {
    heard.push(["first", value]);
    removeFirst();
    one.on("x", () => heard.push(["late"]));
    throw "oops";
  });
  const removeFirst = removeSecond;
  const listener = (value) => heard.push(["second", value]);
  one.on("x", listener);
  one.emit("x", 1);
  assert.deepEqual(heard, [
    ["first", 1],
    ["second", 1],
  ]);
  one.off("x", listener);
  heard.length = 0;
  one.emit("x", 2);
  assert.deepEqual(heard, [["late"]]);
  assert.deepEqual(reported, ["oops"]);
  one.emit("toString", 1);
});

test("a table takes any key and keeps its order", () => {
  const one = new table.Table();
  assert.equal(one.get("__proto__"), undefined);
  for (const key of ["__proto__", "2", "constructor", "1", "hasOwnProperty"]) one.set(key, key);
  one.remove("constructor");
  assert.deepEqual(one.values(), ["__proto__", "2", "1", "hasOwnProperty"]);
  assert.equal(one.get("__proto__"), "__proto__");
  assert.equal(Object.prototype.$__proto__, undefined);
  one.clear();
  assert.deepEqual(one.values(), []);
});

test("UTF-8 lengths are those of an encoder", () => {
  for (const text of [
    "",
    "abc",
    "é",
    "\u07ff\u0800",
    "€",
    "😀",
    "a😀b",
    "\ud800",
    "\udc00x",
    "\ud83d\ud83d\ude00",
  ]) {
    assert.equal(
      utf8.utf8Length(text),
      new TextEncoder().encode(text).length,
      JSON.stringify(text),
    );
  }
});

test("random ids are 128 bits in hexadecimal and differ", () => {
  const { randomId } = environment.realEnvironment;
  const ids = new Set([...Array(1000)].map(randomId));
  assert.equal(ids.size, 1000);
  for (const id of ids) assert.match(id, /^[0-9a-f]{32}$/);
});

test("what is to be kept is kept by the browser, and for the page where the browser will not", () => {
  const { load, save } = environment.realEnvironment;
  const kept = new Map();
  const working = {
    getItem: (key) => kept.get(key) ?? null,
    setItem: (key, text) => void kept.set(key, text),
    removeItem: (key) => void kept.delete(key),
  };
  const throwing = Object.fromEntries(
    Object.keys(working).map((name) => [
      name,
      () => {
        throw new Error("QuotaExceededError");
      },
    ]),
  );
  const forbidden = {
    get() {
      throw new Error("SecurityError");
    },
  };
  for (const [name, descriptor] of Object.entries({
    working: { value: working },
    throwing: { value: throwing },
    forbidden,
    missing: { value: undefined },
    null: { value: null },
  })) {
    Object.defineProperty(globalThis, "localStorage", { ...descriptor, configurable: true });
    save("k", "text");
    assert.equal(load("k"), "text", name);
    assert.equal(kept.get("k"), name === "working" ? "text" : undefined, name);
    save("k", null);
    assert.equal(load("k"), null, name);
    assert.equal(kept.size, 0, name);
  }
  delete globalThis.localStorage;
});
