/**
 * Joins compiled modules into one: in the order of their imports, in one scope, without their
 * import and export statements. Names at the top of modules must therefore be unique, which is
 * checked.
 */

import { posix } from "node:path";
import { parse } from "acorn";

/**
 * `files`: path -> JavaScript (ES modules). `entry`: the path of the one that only re-exports.
 * Gives `{ code, exports }`.
 */
export function bundle(files, entry) {
  const modules = new Map();
  const visit = (path) => {
    if (modules.has(path)) return;
    const code = files.get(path);
    if (code === undefined) throw new Error(`${path} is imported but was not compiled`);
    const { body } = parse(code, { ecmaVersion: 2018, sourceType: "module" });
    modules.set(path, null);
    for (const node of body) {
      if (node.source) visit(posix.join(posix.dirname(path), node.source.value));
    }
    // Set anew: a module stands behind everything that it imports.
    modules.delete(path);
    modules.set(path, { code, body });
  };
  visit(entry);
  const exported = namesReexported(modules.get(entry).body, entry);
  modules.delete(entry);
  const seen = new Map();
  const parts = [];
  for (const [path, { code, body }] of modules) parts.push(strip(path, code, body, seen));
  return { code: parts.filter(Boolean).join("\n\n"), exports: exported };
}

function namesReexported(body, entry) {
  return body.flatMap((node) => {
    if (node.type !== "ExportNamedDeclaration" || !node.source) {
      throw new Error(`${entry} may only re-export, it has a ${node.type}`);
    }
    return node.specifiers.map(({ local, exported }) => {
      if (local.name !== exported.name) throw new Error(`${entry} renames ${local.name}`);
      return exported.name;
    });
  });
}

/** The code of a module without imports, exports and helpers that an earlier module has. */
function strip(path, code, body, seen) {
  let result = "";
  let at = 0;
  const cut = (from, to) => {
    result += code.slice(at, from);
    at = to;
  };
  for (const node of body) {
    const exports = node.type === "ExportNamedDeclaration";
    if (node.type === "ImportDeclaration" || (exports && !node.declaration)) {
      cut(node.start, node.end);
      continue;
    }
    if (exports) cut(node.start, node.declaration.start);
    const declaration = exports ? node.declaration : node;
    const text = code.slice(declaration.start, declaration.end);
    for (const name of namesOf(declaration)) {
      // The compiler puts its helpers (__extends) into each module that needs them.
      const helper = name.startsWith("__") && seen.get(name)?.text === text;
      if (helper) cut(node.start, node.end);
      else if (seen.has(name)) {
        throw new Error(`${name} is at the top of ${path} and of ${seen.get(name).path}`);
      }
      seen.set(name, { path, text });
    }
  }
  return (result + code.slice(at)).trim();
}

function namesOf(node) {
  if (node.type === "FunctionDeclaration" || node.type === "ClassDeclaration")
    return [node.id.name];
  if (node.type === "VariableDeclaration") return node.declarations.map(({ id }) => id.name);
  throw new Error(`a ${node.type} at the top of a module has effects: put it into a function`);
}
