/** The minimal promise of engines that have none: the rules of https://promisesaplus.com. */

import assert from "node:assert/strict";
import { test } from "node:test";
import promise from "../build/promise.js";

const { MinimalPromise } = promise;
const resolved = (value) => new MinimalPromise((resolve) => resolve(value));
const rejected = (reason) => new MinimalPromise((_, reject) => reject(reason));

test("handlers get the value or the reason, later and in order", async () => {
  const order = [];
  const one = resolved(1);
  one.then((value) => order.push(["a", value]));
  one.then((value) => order.push(["b", value]));
  order.push("now");
  await one;
  await rejected(2).catch((reason) => order.push(["c", reason]));
  assert.deepEqual(order, ["now", ["a", 1], ["b", 1], ["c", 2]]);
});

test("only the first word of the executor counts", async () => {
  const one = new MinimalPromise((resolve, reject) => {
    resolve(1);
    reject(2);
    resolve(3);
    throw 4;
  });
  assert.equal(await one, 1);
  const waiting = new MinimalPromise((resolve, reject) => {
    resolve(new Promise((later) => setTimeout(later, 5, "adopted")));
    reject("too late");
  });
  assert.equal(await waiting, "adopted");
  await assert.rejects(Promise.resolve(new MinimalPromise(() => assert.fail("thrown"))), /thrown/);
});

test("then gives a promise of what the handler gives, throws, or promises", async () => {
  assert.equal(await resolved(1).then((value) => value + 1), 2);
  assert.equal(await rejected(1).then(null, (reason) => reason + 1), 2);
  assert.equal(await resolved(1).then(() => resolved(3)), 3);
  assert.equal(await resolved(1).then(() => Promise.resolve(4)), 4);
  await assert.rejects(
    Promise.resolve(resolved(1).then(() => rejected(new Error("inner")))),
    /inner/,
  );
  await assert.rejects(
    Promise.resolve(
      resolved(1).then(() => {
        throw new Error("thrown");
      }),
    ),
    /thrown/,
  );
});

test("without a handler the outcome passes through", async () => {
  assert.equal(await resolved(1).catch(() => 2), 1);
  assert.equal(await resolved(1).then(null).then(7), 1);
  await assert.rejects(Promise.resolve(rejected(new Error("x")).then((value) => value)), /x/);
});

test("thenables are adopted, however they behave", async () => {
  assert.equal(await resolved({ then: (done) => done("ok") }), "ok");
  assert.equal(
    await resolved({ then: (done) => (done("first"), done("second"), assert.fail()) }),
    "first",
  );
  await assert.rejects(
    Promise.resolve(
      resolved({
        then() {
          throw new Error("early");
        },
      }),
    ),
    /early/,
  );
  let looks = 0;
  const tricky = Object.defineProperty({}, "then", {
    get() {
      looks += 1;
      return (done) => done("looked");
    },
  });
  assert.equal(await resolved(tricky), "looked");
  assert.equal(looks, 1);
  const broken = Object.defineProperty({}, "then", {
    get() {
      throw new Error("getter");
    },
  });
  await assert.rejects(Promise.resolve(resolved(broken)), /getter/);
  assert.deepEqual(await resolved({ then: 7 }), { then: 7 });
});

test("a promise cannot wait for itself", async () => {
  let itself;
  const circle = new MinimalPromise((resolve) => setTimeout(() => resolve(itself), 1));
  itself = circle;
  await assert.rejects(Promise.resolve(circle), TypeError);
});

test("where the engine has promises they are used", () => {
  assert.equal(promise.promiseMaker(), Promise);
});
