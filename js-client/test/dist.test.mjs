/** What is shipped: the ES module, the UMD file in an engine of 2012, the types, and the check. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  appendFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import vm from "node:vm";
import { parse } from "acorn";
import ts from "typescript";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const UMD = readFileSync(join(ROOT, "dist/roomline.umd.js"), "utf8");
const EXPORTS = ["DISCONNECTS", "ERRORS", "Roomline", "UNRECOVERABLE", "UNSUBSCRIBED"];

/** Everything that ECMAScript has added to the global object since its fifth edition. */
const SINCE_ES5 = `AggregateError Array.from Array.of ArrayBuffer Atomics BigInt BigInt64Array
  BigUint64Array DataView FinalizationRegistry Float32Array Float64Array Int16Array Int32Array
  Int8Array Map Number.isInteger Object.assign Object.entries Object.is Object.setPrototypeOf
  Object.values Promise Proxy Reflect Set SharedArrayBuffer Symbol Uint16Array Uint32Array
  Uint8Array Uint8ClampedArray WeakMap WeakRef WeakSet WebAssembly globalThis
  Array.prototype.fill Array.prototype.find Array.prototype.findIndex Array.prototype.flat
  Array.prototype.flatMap Array.prototype.includes Array.prototype.at String.prototype.at
  String.prototype.includes String.prototype.startsWith String.prototype.endsWith
  String.prototype.repeat String.prototype.padStart String.prototype.codePointAt`;

/** A page of 2012: a global object with the UMD file run in it. */
function oldPage(globals = {}) {
  const page = vm.createContext({ ...globals });
  for (const path of SINCE_ES5.split(/\s+/)) vm.runInContext(`delete this.${path}`, page);
  const timers = [];
  // Only what is to happen at once happens.
  page.setTimeout = (action, milliseconds) => milliseconds === 0 && timers.push(action);
  page.clearTimeout = () => undefined;
  vm.runInContext(
    `var sockets = [];
     function SockJS(url) { this.url = url; this.sent = []; sockets.push(this); }
     SockJS.prototype.send = function (text) { this.sent.push(text); };
     SockJS.prototype.close = function () {};`,
    page,
  );
  page.self = page;
  const before = Object.getOwnPropertyNames(page);
  vm.runInContext(UMD, page);
  const added = Object.getOwnPropertyNames(page).filter((name) => !before.includes(name));
  return { page, added, tick: () => timers.splice(0).forEach((action) => action()) };
}

test("the UMD file is ES5 and adds one global", () => {
  parse(UMD, { ecmaVersion: 5, sourceType: "script" });
  const { page, added } = oldPage();
  assert.deepEqual(added, ["Roomline"]);
  assert.equal(
    vm.runInContext("typeof Promise + typeof Object.assign", page),
    "undefinedundefined",
  );
  for (const name of EXPORTS)
    assert.equal(vm.runInContext(`typeof Roomline.${name} !== "undefined"`, page), true, name);
});

test("the UMD file works in an engine of 2012", () => {
  const { page, tick } = oldPage();
  vm.runInContext(
    `var log = [];
     var client = new Roomline("http://a", { token: function () { return "t"; } });
     client.on("error", function (error) { log.push(error.code); });
     var room = client.subscribe("chat.lobby");
     room.on("publication", function (publication) { log.push(publication.data); });
     client.connect();`,
    page,
  );
  tick();
  vm.runInContext(
    `var socket = sockets[0];
     function say(message) { socket.onmessage({ data: JSON.stringify(message) }); }
     socket.onopen({});
     say({ type: "connected", id: 1, session: "s", user: null, node: "n", rooms: [], expires_in: null,
           limits: { message_bytes: 1000 } });
     say({ type: "subscribed", id: 2, room: "chat.lobby", position: "p1", head: "p1", publications: [] });
     say({ type: "publication", room: "chat.lobby", position: "p2", previous: "p1", data: "hi" });
     room.publish(1).then(function (published) { log.push(published.key.length); });
     room.publish(2).then(null, function (error) { log.push(error.code, error instanceof Error); });
     say({ type: "published", id: 3, room: "chat.lobby" });
     say({ type: "error", id: 4, code: "forbidden", reason: "no", temporary: false });`,
    page,
  );
  for (let i = 0; i < 5; i++) tick();
  assert.equal(vm.runInContext("JSON.stringify(log)", page), '["hi",32,"forbidden",true]');
});

test("a page whose crypto gives no random values has ids all the same", () => {
  // Firefox before version 21, and Internet Explorer 11 with another name for it.
  for (const globals of [{ crypto: {} }, { msCrypto: {} }, { crypto: null }]) {
    const { page } = oldPage(globals);
    assert.match(vm.runInContext(`new Roomline("http://a").clientId`, page), /^[0-9a-f]{32}$/);
  }
  const given = { crypto: { getRandomValues: (bytes) => bytes.fill(7) }, Uint8Array };
  const { page } = oldPage();
  Object.assign(page, given);
  assert.equal(vm.runInContext(`new Roomline("http://a").clientId`, page), "07".repeat(16));
});

test("the package is imported and required by its name", async () => {
  const imported = await import("roomline");
  assert.deepEqual(Object.keys(imported).sort(), EXPORTS);
  const required = createRequire(import.meta.url)("roomline");
  assert.equal(required.Roomline, required);
  const SockJS = createRequire(import.meta.url)("sockjs-client");
  for (const { Roomline } of [imported, required]) {
    assert.equal(new Roomline("http://a", { SockJS }).state, "disconnected");
  }
});

test("the UMD file is an AMD module where there is a loader", () => {
  let made;
  const define = (dependencies, factory) => (made = factory(...dependencies));
  define.amd = {};
  new Function("define", "self", UMD)(define, {});
  assert.equal(made.Roomline, made);
});

test("the types serve a strict program", (context) => {
  const folder = mkdtempSync(join(ROOT, "build/types-"));
  context.after(() => rmSync(folder, { recursive: true }));
  const program = join(folder, "page.mts");
  writeFileSync(
    program,
    `import { Roomline, ERRORS, type Publication, type RoomlineError } from "roomline";
     const client = new Roomline(["http://a"], { token: async () => null, timeouts: { ping: 5 } });
     const room = client.subscribe("chat.lobby", { history: 5, token: (room) => room });
     const stop: () => void = room.on("publication", (p: Publication) => p.sender?.name);
     room.on("subscribed", ({ recovered, reason }) => recovered || reason?.length);
     client.on("error", (error: RoomlineError) => ERRORS[error.code]?.meaning);
     const key: string = (await room.publish({ text: "hi" })).key;
     // @ts-expect-error: no such event
     client.on("nothing", () => undefined);
     // @ts-expect-error: for the client alone
     client.emit("error", null);
     export { key, stop };`,
  );
  const compiled = ts.createProgram([program], {
    strict: true,
    noEmit: true,
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.Node16,
    moduleResolution: ts.ModuleResolutionKind.Node16,
    types: [],
  });
  const problems = ts.getPreEmitDiagnostics(compiled);
  assert.deepEqual(
    problems.map(({ messageText }) => messageText),
    [],
  );
});

test("the check fails when dist or the code table is not what the sources give", (context) => {
  const copy = mkdtempSync(join(tmpdir(), "roomline-"));
  context.after(() => rmSync(copy, { recursive: true }));
  for (const path of [
    "tests/golden/codes.json",
    "js-client/dist",
    "js-client/package.json",
    "js-client/scripts",
    "js-client/src",
    "js-client/tsconfig.json",
  ]) {
    cpSync(join(ROOT, "..", path), join(copy, path), { recursive: true });
  }
  symlinkSync(join(ROOT, "node_modules"), join(copy, "js-client/node_modules"));
  const codes = join(copy, "tests/golden/codes.json");
  writeFileSync(codes, readFileSync(codes, "utf8").replace("flood", "deluge"));
  appendFileSync(join(copy, "js-client/dist/index.d.ts"), "// edited\n");
  writeFileSync(join(copy, "js-client/dist/old.d.ts"), "");
  mkdirSync(join(copy, "djangoapp/django_roomline/static/roomline"), { recursive: true });
  const { status, stderr } = spawnSync(process.execPath, ["scripts/build.mjs", "--check"], {
    cwd: join(copy, "js-client"),
    encoding: "utf8",
  });
  assert.equal(status, 1);
  const named = stderr.trim().split(": ")[1].split(", ").sort();
  assert.deepEqual(named, [
    "../djangoapp/django_roomline/static/roomline/roomline.umd.js",
    "dist/index.d.ts",
    "dist/old.d.ts",
    "dist/roomline.mjs",
    "dist/roomline.umd.js",
    "src/codes.ts",
  ]);
});
