/** The options of a client, and what they become when checked and completed. */

import { archiveAt, type ArchiveSource } from "./archive.js";
import type { BackoffRange } from "./backoff.js";
import { realEnvironment, type Environment } from "./environment.js";
import { globalSockJS, type SockJSConstructor, type SockJSOptions } from "./transport.js";

/** What a token callback may give: a token, or null for none; at once or promised. It may fail
 * instead; an error whose `temporary` is false means that asking again is no use. */
export type TokenAnswer = string | null | PromiseLike<string | null>;

/** Falling back to another transport. All in milliseconds. */
export interface Fallback {
  /** Within this time a transport must carry something to the gateway and back. Slow lines get
   * three times what opening took, if that is longer. */
  readonly deliver: number;
  /** A connection that breaks earlier than this counts against its transport. */
  readonly brief: number;
  /** The longest time for which better transports are not tried again; the first times are
   * shorter. */
  readonly remember: number;
}

/** All in milliseconds. */
export interface Timeouts {
  /** Until SockJS is open, fall-backs included. */
  readonly open: number;
  /** Until a command is answered, and until a token callback has given its token. */
  readonly reply: number;
  /** Between two pings. */
  readonly ping: number;
  /** Until a ping is answered; else the connection is given up. */
  readonly pong: number;
  /** Until a publish is confirmed, with all its retries. */
  readonly publish: number;
  /** Until an archive has given a page, with all retries. */
  readonly archive: number;
  /** Until a request is answered. */
  readonly request: number;
  /** How long a connection must last for the backoff to start over. */
  readonly stable: number;
}

export interface Options {
  /** Gives a connection token, at each connect and before the last one expires. Failing for good
   * (an error whose `temporary` is false) disconnects. */
  readonly token?: () => TokenAnswer;
  /** Who an anonymous client is: 16 to 64 characters of `A-Z a-z 0-9 _ -`. Default: random. */
  readonly clientId?: string;
  /** Where `Subscription.older` finds what is older than the gateway's history: the URL to which
   * a room's name is appended, or a function that asks. Default: nowhere. */
  readonly archive?: string | ArchiveSource;
  /** The `sockjs-client` constructor. Default: the global `SockJS`. */
  readonly SockJS?: SockJSConstructor;
  /** Options for SockJS. */
  readonly sockjs?: SockJSOptions;
  readonly backoff?: Partial<BackoffRange>;
  /** When to leave a transport that opens but does not deliver; false: never. */
  readonly fallback?: Partial<Fallback> | false;
  readonly timeouts?: Partial<Timeouts>;
  /** How many publishes may wait for their confirmation, and how many requests for their answer.
   * Default: 64. */
  readonly maxPending?: number;
  /** Timers, the time, randomness and storage, for tests. */
  readonly environment?: Partial<Environment>;
}

export interface Settings {
  readonly endpoints: readonly string[];
  readonly token: (() => TokenAnswer) | null;
  readonly clientId: string;
  readonly archive: ArchiveSource | null;
  readonly SockJS: SockJSConstructor;
  readonly sockjs: SockJSOptions;
  readonly backoff: BackoffRange;
  readonly fallback: Fallback | null;
  readonly timeouts: Timeouts;
  readonly maxPending: number;
  readonly environment: Environment;
}

const TIMEOUTS: Timeouts = {
  open: 20000,
  reply: 10000,
  ping: 25000,
  pong: 10000,
  publish: 30000,
  archive: 30000,
  request: 30000,
  stable: 30000,
};

const FALLBACK: Fallback = { deliver: 4000, brief: 10000, remember: 3600000 };

const CLIENT_ID = /^[A-Za-z0-9_-]{16,64}$/;

/** Raises an `Error` that names what is wrong. */
export function settingsOf(endpoints: string | readonly string[], options: Options): Settings {
  const list = typeof endpoints === "string" ? [endpoints] : endpoints.slice();
  if (!list.length || list.some((url) => typeof url !== "string" || !url)) {
    throw new TypeError("endpoints must be a URL or a list of at least one URL");
  }
  if (options.token !== undefined && typeof options.token !== "function") {
    throw new TypeError("options.token must be a function that gives a token");
  }
  const { archive } = options;
  if (archive !== undefined && typeof archive !== "string" && typeof archive !== "function") {
    throw new TypeError("options.archive must be a URL or a function that gives a page");
  }
  const environment = completed(realEnvironment, options.environment);
  const clientId = options.clientId === undefined ? environment.randomId() : options.clientId;
  if (!CLIENT_ID.test(clientId)) {
    throw new TypeError(
      `options.clientId is "${clientId}", accepted are 16 to 64 characters of A-Z a-z 0-9 _ -`,
    );
  }
  const maxPending = options.maxPending === undefined ? 64 : options.maxPending;
  if (typeof maxPending !== "number" || !(maxPending >= 1)) {
    throw new TypeError(`options.maxPending is ${maxPending}, accepted is a number from 1`);
  }
  return {
    endpoints: list,
    token: options.token || null,
    clientId,
    archive: typeof archive === "string" ? archiveAt(archive) : archive || null,
    SockJS: options.SockJS || globalSockJS(),
    sockjs: options.sockjs || {},
    backoff: positive("backoff", completed({ base: 500, cap: 20000 }, options.backoff)),
    fallback:
      options.fallback === false
        ? null
        : positive("fallback", completed(FALLBACK, options.fallback)),
    timeouts: positive("timeouts", completed(TIMEOUTS, options.timeouts)),
    maxPending,
    environment,
  };
}

/** `defaults` with what `given` has of the same names. */
function completed<T extends object>(defaults: T, given: Partial<T> = {}): T {
  const result = {} as T;
  for (const name of Object.keys(defaults) as (keyof T)[]) {
    const value = given[name];
    result[name] = value === undefined ? defaults[name] : (value as T[keyof T]);
  }
  return result;
}

function positive<T extends object>(option: string, numbers: T): T {
  for (const name of Object.keys(numbers) as (keyof T & string)[]) {
    const value = numbers[name];
    if (typeof value !== "number" || !(value > 0)) {
      throw new TypeError(
        `options.${option}.${name} is ${value}, accepted is a number of milliseconds above 0`,
      );
    }
  }
  return numbers;
}
