/** The protocol's messages as types, and what is read of an incoming text. */

import type { Trial } from "./fallback.js";

export const PROTOCOL_VERSION = 1;

/** One publication of a room's log. */
export interface Publication {
  readonly room: string;
  /** Its place in the log: opaque text. */
  readonly position: string;
  /** The position of the publication before it in this room; null: none in the retained log. */
  readonly previous: string | null;
  readonly data: unknown;
  readonly kind: "message" | "system" | "admin";
  /** When it was published, ISO 8601 in UTC; null: its publisher stated no time. */
  readonly time: string | null;
  readonly sender?: User;
  /** `"operations"`: it was published past the applications, by hand for instance. */
  readonly origin?: string;
  readonly key?: string;
}

export interface User {
  readonly id: string;
  readonly name: string;
}

/** What the gateway accepts from one session. */
export interface Limits {
  readonly message_bytes: number;
  readonly subscriptions: number;
  readonly history: number;
}

/** A room that the gateway pushes without being asked. */
export interface AutomaticRoom {
  readonly room: string;
  readonly position: string;
  readonly head: string | null;
}

export interface Connected {
  readonly session: string;
  readonly user: User | null;
  readonly node: string;
  readonly limits: Limits;
  /** Seconds; null: never. */
  readonly expires_in: number | null;
  readonly rooms: readonly AutomaticRoom[];
}

export interface Subscribed {
  readonly room: string;
  readonly position: string;
  readonly head: string | null;
  readonly publications: readonly Publication[];
  readonly recovered?: boolean;
  readonly reason?: string;
  readonly more?: boolean;
}

export interface HistoryPage {
  readonly position: string;
  readonly publications: readonly Publication[];
}

export interface Refreshed {
  readonly expires_in: number | null;
}

export interface Response {
  readonly data: unknown;
}

export interface Pong {
  /** Messages without an id that were queued to this session since it began. */
  readonly sent: number;
  readonly position: string;
}

export interface ErrorReply {
  readonly code: string;
  readonly reason: string;
  readonly temporary: boolean;
  /** The code that a handler has given its refusal. */
  readonly refusal?: string;
}

export interface UnsubscribedPush {
  readonly room: string;
  readonly code: string;
  readonly reason: string;
}

export interface ReconnectPush {
  readonly after_ms: number;
}

/** The commands without their ids. The order of fields is the order on the wire. */
export type Command =
  | {
      type: "connect";
      version: number;
      token?: string;
      client?: string;
      transport?: { tried: readonly Trial[]; ms: number };
    }
  | { type: "subscribe"; room: string; since?: string; history?: number; token?: string }
  | { type: "unsubscribe"; room: string }
  | { type: "publish"; room: string; data: unknown; key: string }
  | { type: "history"; room: string; limit: number }
  | { type: "refresh"; token: string }
  | { type: "request"; name: string; data: unknown; timeout: number }
  | { type: "ping" };

/** The text of a command. */
export function encode(id: number, command: Command): string {
  return '{"id":' + id + "," + JSON.stringify(command).slice(1);
}

/** Any message of the gateway. A push has no id; an error's is null when the gateway could not
 * read that of the command. */
export interface Incoming {
  readonly type: string;
  readonly id?: number | null;
}

/** The message in a text, or null: it is none, and the peer no gateway of ours. */
export function parse(text: string): Incoming | null {
  let message: unknown;
  try {
    message = JSON.parse(text);
  } catch {
    return null;
  }
  const usable =
    typeof message === "object" &&
    message !== null &&
    typeof (message as { type?: unknown }).type === "string";
  return usable ? (message as Incoming) : null;
}
