/** The text of src/codes.ts: the gateway's code tables, from the golden file that pins them. */

import { readFileSync } from "node:fs";

const GOLDEN = new URL("../../tests/golden/codes.json", import.meta.url);

export function codesSource() {
  const tables = JSON.parse(readFileSync(GOLDEN, "utf8"));
  const text = (value) => JSON.stringify(value);
  const rows = (table, row) =>
    Object.entries(table)
      .map(([code, entry]) => `  ${code}: ${row(entry)},\n`)
      .join("");
  return `/** The gateway's codes, one table each. Generated from tests/golden/codes.json: do not edit. */

/** An \`error\` reply: whether trying again later can help, and the meaning. */
export interface ErrorEntry {
  readonly temporary: boolean;
  readonly meaning: string;
}

/** A close that the gateway decided: whether to come back, and the meaning. */
export interface DisconnectEntry {
  readonly reason: string;
  readonly reconnect: boolean;
  readonly meaning: string;
}

/** Codes of \`error\` replies. */
export const ERRORS: { readonly [code: string]: ErrorEntry } = {
${rows(tables.errors, (e) => `{ temporary: ${e.temporary}, meaning: ${text(e.meaning)} }`)}};

/** Close codes. */
export const DISCONNECTS: { readonly [code: number]: DisconnectEntry } = {
${rows(
  tables.disconnects,
  (d) => `{ reason: ${text(d.reason)}, reconnect: ${d.reconnect}, meaning: ${text(d.meaning)} }`,
)}};

/** Codes of \`unsubscribed\` pushes. */
export const UNSUBSCRIBED: { readonly [code: string]: string } = {
${rows(tables.unsubscribed, text)}};

/** Reasons of \`recovered: false\`. */
export const UNRECOVERABLE: { readonly [reason: string]: string } = {
${rows(tables.unrecoverable, text)}};
`;
}
