/** What the client takes from its surroundings: timers, randomness, a place for stray errors. */
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
/** The browser's or Node.js's own. */
export declare const realEnvironment: Environment;
