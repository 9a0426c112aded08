/** What the client takes from its surroundings: timers, the time, randomness, a place for stray
 * errors, and one to remember things from page to page. */

import { Table } from "./table.js";

declare function setTimeout(action: () => void, milliseconds: number): unknown;
declare function clearTimeout(handle: unknown): void;

interface RandomSource {
  /** Came years after `crypto` itself, which old Firefox has without it. */
  getRandomValues?(bytes: Uint8Array): Uint8Array;
}
declare const crypto: RandomSource | undefined;
declare const msCrypto: RandomSource | undefined;

interface Storage {
  getItem(key: string): string | null;
  setItem(key: string, text: string): void;
  removeItem(key: string): void;
}
declare const localStorage: Storage | undefined;
declare const XMLHttpRequest: { new (): object } | undefined;

/** Replaceable as a whole or in part through `options.environment`, which is how tests hold time
 * still. */
export interface Environment {
  /** Run `action` once after `milliseconds`; gives a handle for `clearTimeout`. */
  setTimeout(action: () => void, milliseconds: number): unknown;
  clearTimeout(handle: unknown): void;
  /** The wall clock, in milliseconds: it goes on while the machine sleeps, and may be set. */
  now(): number;
  /** The text that was saved under `key`, perhaps on an earlier page, or null. */
  load(key: string): string | null;
  /** Keep `text` as long as may be; null: drop it. */
  save(key: string, text: string | null): void;
  /** Whether pages may ask servers of other origins themselves, since about 2010 (CORS). */
  hasCrossOriginRequests(): boolean;
  /** A number from 0 up to, not including, 1. Spreads reconnects; guards nothing. */
  random(): number;
  /** 128 unpredictable bits as 32 hexadecimal digits. */
  randomId(): string;
  /** Takes what a listener of the application threw. */
  report(error: unknown): void;
}

/** 16 random bytes. */
function randomBytes(): ArrayLike<number> {
  const source =
    typeof crypto === "object" ? crypto : typeof msCrypto === "object" ? msCrypto : null;
  if (source && source.getRandomValues) return source.getRandomValues(new Uint8Array(16));
  // Browsers without a secure source: unique, which keys need, though guessable.
  const bytes: number[] = [];
  while (bytes.length < 16) bytes.push(Math.floor(Math.random() * 256));
  return bytes;
}

/** Instead of the browser's storage, where there is none or it may not be used. */
const unsaved = new Table<string>();

/** The browser's storage, or null. Merely naming it raises in some privacy settings. */
function storage(): Storage | null {
  try {
    return typeof localStorage === "object" ? localStorage : null;
  } catch {
    return null;
  }
}

/** What `action` gives; undefined: there is no storage, or it is full, or locked. */
function withStorage<T>(action: (storage: Storage) => T): T | undefined {
  const place = storage();
  try {
    return place ? action(place) : undefined;
  } catch {
    return undefined;
  }
}

/** The browser's or Node.js's own. */
export const realEnvironment: Environment = {
  setTimeout: (action, milliseconds) => setTimeout(action, milliseconds),
  clearTimeout: (handle) => clearTimeout(handle),
  now: () => Date.now(),
  load: (key) => unsaved.get(key) || withStorage((place) => place.getItem(key)) || null,
  save: (key, text) => {
    unsaved.remove(key);
    const saved = withStorage((place) => {
      if (text === null) place.removeItem(key);
      else place.setItem(key, text);
      return true;
    });
    if (!saved && text !== null) unsaved.set(key, text);
  },
  hasCrossOriginRequests: () =>
    typeof XMLHttpRequest !== "undefined" && "withCredentials" in new XMLHttpRequest(),
  random: () => Math.random(),
  randomId: () => {
    const bytes = randomBytes();
    let id = "";
    for (let i = 0; i < bytes.length; i++) id += (256 + bytes[i]!).toString(16).slice(1);
    return id;
  },
  // As if nobody had caught it: the page's error handling and the console see it.
  report: (error) => {
    setTimeout(() => {
      throw error;
    }, 0);
  },
};
