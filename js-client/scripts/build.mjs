/**
 * Builds dist from src; with --check builds nothing and fails if what is committed differs.
 *
 *     src/codes.ts            from tests/golden/codes.json
 *     dist/roomline.mjs       ES module
 *     dist/roomline.umd.js    script, AMD, CommonJS; ES5
 *     dist/*.d.ts             types
 *     and a copy of the UMD file for the pages of the Django app
 */

import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, posix } from "node:path";
import { fileURLToPath } from "node:url";
import { parse } from "acorn";
import ts from "typescript";
import { bundle } from "./bundle.mjs";
import { codesSource } from "./codes.mjs";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const DIST = posix.join(ROOT, "dist");
const DJANGO = posix.join(ROOT, "../djangoapp/django_roomline/static/roomline/roomline.umd.js");
const CODES = posix.join(ROOT, "src/codes.ts");
/** Module name -> TypeScript. */
const sources = new Map();
const check = process.argv.includes("--check");

const config = ts.getParsedCommandLineOfConfigFile(
  posix.join(ROOT, "tsconfig.json"),
  {},
  {
    ...ts.sys,
    onUnRecoverableConfigFileDiagnostic: fail,
  },
);

/** Check src and write its types; gives file name -> text. The code table counts as generated
 * already. */
function declare() {
  const options = { ...config.options, declaration: true, emitDeclarationOnly: true };
  const host = ts.createCompilerHost(options);
  const { readFile, fileExists } = host;
  host.readFile = (path) => (path === CODES ? codesSource() : readFile(path));
  host.fileExists = (path) => path === CODES || fileExists(path);
  host.getSourceFile = (path, version) =>
    ts.createSourceFile(path, host.readFile(path), version, true);
  const files = new Map();
  host.writeFile = (path, text) => files.set(basename(path), text);
  const names = config.fileNames.filter((path) => path !== CODES).concat(CODES);
  const program = ts.createProgram(names, options, host);
  const problems = ts.getPreEmitDiagnostics(program);
  if (problems.length) fail(problems);
  program.emit();
  for (const name of names) sources.set(basename(name, ".ts"), host.readFile(name));
  return files;
}

/** The sources as JavaScript modules: file name -> text. */
function transpile(target, removeComments) {
  const compilerOptions = { ...config.options, declaration: false, target, removeComments };
  const entries = [...sources].map(([name, text]) => [
    `${name}.js`,
    ts.transpileModule(text, { compilerOptions, fileName: `${name}.ts` }).outputText,
  ]);
  return new Map(entries);
}

function fail(diagnostics) {
  console.error(
    ts.formatDiagnosticsWithColorAndContext([].concat(diagnostics), {
      getCanonicalFileName: (name) => name,
      getCurrentDirectory: () => ROOT,
      getNewLine: () => "\n",
    }),
  );
  process.exit(1);
}

/** The declaration files that a user's compiler reaches from index.d.ts. */
function declarations(files) {
  const reached = new Map();
  const visit = (name) => {
    if (reached.has(name)) return;
    reached.set(name, files.get(name));
    for (const [, module] of files.get(name).matchAll(/from "\.\/([a-z0-9]+)\.js"/g)) {
      visit(`${module}.d.ts`);
    }
  };
  visit("index.d.ts");
  return reached;
}

function outputs() {
  const { version, license } = JSON.parse(readFileSync(posix.join(ROOT, "package.json"), "utf8"));
  const banner = `/*! roomline ${version}, ${license} */`;
  const result = declarations(declare());
  const esm = bundle(transpile(ts.ScriptTarget.ES2018, false), "index.js");
  const umd = bundle(transpile(ts.ScriptTarget.ES5, true), "index.js");
  const statics = umd.exports.map((name) => `Roomline.${name} = ${name};`).join("\n");
  result.set("roomline.mjs", `${banner}\n${esm.code}\n\nexport { ${esm.exports.join(", ")} };\n`);
  result.set(
    "roomline.umd.js",
    `${banner}
(function (root, factory) {
    if (typeof define === "function" && define.amd) define([], factory);
    else if (typeof module === "object" && module.exports) module.exports = factory();
    else root.Roomline = factory();
})(typeof self !== "undefined" ? self : this, function () {
"use strict";

${umd.code}

${statics}
return Roomline;
});
`,
  );
  parse(result.get("roomline.mjs"), { ecmaVersion: 2018, sourceType: "module" });
  parse(result.get("roomline.umd.js"), { ecmaVersion: 5, sourceType: "script" });
  return result;
}

/** What is in dist but not built from src any more. */
function leftOver(built) {
  return existsSync(DIST) ? readdirSync(DIST).filter((name) => !built.has(name)) : [];
}

const built = outputs();
const files = new Map([...built].map(([name, text]) => [posix.join(DIST, name), text]));
files.set(CODES, codesSource());
files.set(DJANGO, built.get("roomline.umd.js"));
if (check) {
  const stale = [...files].filter(
    ([path, text]) => !existsSync(path) || readFileSync(path, "utf8") !== text,
  );
  const wrong = stale.map(([path]) => posix.relative(ROOT, path));
  wrong.push(...leftOver(built).map((name) => `dist/${name}`));
  if (wrong.length) {
    console.error(`not what the sources give, run "npm run build": ${wrong.join(", ")}`);
    process.exit(1);
  }
} else {
  mkdirSync(DIST, { recursive: true });
  for (const name of leftOver(built)) rmSync(posix.join(DIST, name));
  for (const [path, text] of files) writeFileSync(path, text);
}
