/** What the client takes from its surroundings: timers, randomness, a place for stray errors. */

declare function setTimeout(action: () => void, milliseconds: number): unknown;
declare function clearTimeout(handle: unknown): void;

interface RandomSource {
  /** Came years after `crypto` itself, which old Firefox has without it. */
  getRandomValues?(bytes: Uint8Array): Uint8Array;
}
declare const crypto: RandomSource | undefined;
declare const msCrypto: RandomSource | undefined;

/** Replaceable as a whole or in part through `options.environment`, which is how tests hold time
 * still. */
export interface Environment {
  /** Run `action` once after `milliseconds`; gives a handle for `clearTimeout`. */
  setTimeout(action: () => void, milliseconds: number): unknown;
  clearTimeout(handle: unknown): void;
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

/** The browser's or Node.js's own. */
export const realEnvironment: Environment = {
  setTimeout: (action, milliseconds) => setTimeout(action, milliseconds),
  clearTimeout: (handle) => clearTimeout(handle),
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
