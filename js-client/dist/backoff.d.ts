/** How long to wait before trying again: exponential, with full jitter. */
/** Milliseconds. */
export interface BackoffRange {
    readonly base: number;
    readonly cap: number;
}
/**
 * The n-th wait is anywhere between 0 and min(cap, base * 2^n), so that clients that failed
 * together do not come back together.
 */
export declare class Backoff {
    private readonly random;
    private readonly range;
    private attempts;
    constructor(random: () => number, range: BackoffRange);
    /** Milliseconds to wait after one more failure. */
    next(): number;
    /** Milliseconds to wait when it was no failure but a request to move: none, unless such
     * requests keep coming. */
    move(): number;
    reset(): void;
}
