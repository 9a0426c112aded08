/** One restartable, stoppable timer. */

import type { Environment } from "./environment.js";

/** Runs `action` once, `milliseconds` after the last `start`, unless stopped before. */
export class Timer {
  private handle: unknown = null;
  private pending = false;

  constructor(
    private readonly environment: Environment,
    private readonly action: () => void,
  ) {}

  start(milliseconds: number): void {
    this.stop();
    this.pending = true;
    this.handle = this.environment.setTimeout(() => {
      this.pending = false;
      this.action();
    }, milliseconds);
  }

  stop(): void {
    if (this.pending) {
      this.pending = false;
      this.environment.clearTimeout(this.handle);
    }
  }
}
