/** What the client takes from its surroundings: timers, the time, randomness, a place for stray
 * errors, and one to remember things from page to page. */
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
/** The browser's or Node.js's own. */
export declare const realEnvironment: Environment;
