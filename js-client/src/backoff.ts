/** How long to wait before trying again: exponential, with full jitter. */

/** Milliseconds. */
export interface BackoffRange {
  readonly base: number;
  readonly cap: number;
}

/** How often in a row somebody may be sent elsewhere before it counts as going in circles. */
const FREE_MOVES = 3;

/**
 * The n-th wait is anywhere between 0 and min(cap, base * 2^n), so that clients that failed
 * together do not come back together.
 */
export class Backoff {
  private attempts = 0;

  constructor(
    private readonly random: () => number,
    private readonly range: BackoffRange,
  ) {}

  /** Milliseconds to wait after one more failure. */
  next(): number {
    const ceiling = Math.min(this.range.cap, this.range.base * Math.pow(2, this.attempts));
    this.attempts += 1;
    return Math.floor(this.random() * ceiling);
  }

  /** Milliseconds to wait when it was no failure but a request to move: none, unless such
   * requests keep coming. */
  move(): number {
    if (this.attempts >= FREE_MOVES) return this.next();
    this.attempts += 1;
    return 0;
  }

  reset(): void {
    this.attempts = 0;
  }
}
