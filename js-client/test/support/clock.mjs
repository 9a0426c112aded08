/** Time that moves only when told to, and randomness that is chosen. */

export class Clock {
  now = 0;
  #timers = new Map();
  #lastHandle = 0;

  setTimeout = (action, milliseconds) => {
    const handle = ++this.#lastHandle;
    this.#timers.set(handle, { at: this.now + milliseconds, handle, action });
    return handle;
  };

  clearTimeout = (handle) => {
    this.#timers.delete(handle);
  };

  /** How many timers are running. */
  get running() {
    return this.#timers.size;
  }

  /** Milliseconds until the next timer fires, or null. */
  get next() {
    const times = [...this.#timers.values()].map(({ at }) => at);
    return times.length ? Math.min(...times) - this.now : null;
  }

  /** Let time pass: timers fire in order, each at its time. */
  advance(milliseconds) {
    const end = this.now + milliseconds;
    for (;;) {
      const due = [...this.#timers.values()]
        .filter(({ at }) => at <= end)
        .sort((a, b) => a.at - b.at || a.handle - b.handle)[0];
      if (!due) break;
      this.#timers.delete(due.handle);
      this.now = due.at;
      due.action();
    }
    this.now = end;
  }
}

/** Let promises that are settled run their handlers. */
export function settled() {
  return new Promise((resolve) => setImmediate(resolve));
}
