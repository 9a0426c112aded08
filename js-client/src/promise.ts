/** Promises: the engine's own, or a minimal one where there is none. Globals stay untouched. */

declare const Promise: PromiseMaker | undefined;
declare function setTimeout(action: () => void, milliseconds: number): unknown;

type Resolve<T> = (value: T) => void;
type Reject = (reason: unknown) => void;

/** What the client needs of a promise constructor. */
export interface PromiseMaker {
  new <T>(executor: (resolve: Resolve<T>, reject: Reject) => void): Promise<T>;
}

export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return isObject(value) && typeof (value as { then?: unknown }).then === "function";
}

function isObject(value: unknown): boolean {
  return value !== null && (typeof value === "object" || typeof value === "function");
}

/**
 * `then` and `catch` as Promises/A+ (https://promisesaplus.com) has them, except that handlers
 * run as timers and not as microtasks, which engines without promises do not have either.
 */
export class MinimalPromise<T> {
  private outcome: "pending" | "fulfilled" | "rejected" = "pending";
  private value: unknown;
  private waiting: (() => void)[] = [];

  constructor(executor: (resolve: Resolve<T>, reject: Reject) => void) {
    this.adopt(executor);
  }

  then<A = T, B = never>(
    onFulfilled?: ((value: T) => A | PromiseLike<A>) | null,
    onRejected?: ((reason: any) => B | PromiseLike<B>) | null,
  ): MinimalPromise<A | B> {
    return new MinimalPromise<A | B>((resolve, reject) => {
      const react = () => {
        const fulfilled = this.outcome === "fulfilled";
        const handler = (fulfilled ? onFulfilled : onRejected) as unknown;
        if (typeof handler !== "function") {
          if (fulfilled) resolve(this.value as A);
          else reject(this.value);
          return;
        }
        let result: unknown;
        try {
          result = handler(this.value);
        } catch (error) {
          reject(error);
          return;
        }
        resolve(result as A);
      };
      if (this.outcome === "pending") this.waiting.push(react);
      else setTimeout(react, 0);
    });
  }

  catch<B = never>(
    onRejected?: ((reason: any) => B | PromiseLike<B>) | null,
  ): MinimalPromise<T | B> {
    return this.then(null, onRejected);
  }

  /** Run code that resolves or rejects this promise; only its first word counts. */
  private adopt(executor: (resolve: Resolve<T>, reject: Reject) => void): void {
    let decided = false;
    const reject = (reason: unknown) => {
      if (decided) return;
      decided = true;
      this.settle("rejected", reason);
    };
    try {
      executor((value) => {
        if (decided) return;
        decided = true;
        this.resolve(value);
      }, reject);
    } catch (error) {
      reject(error);
    }
  }

  private resolve(value: unknown): void {
    if (value === this) {
      this.settle("rejected", new TypeError("a promise cannot be resolved with itself"));
      return;
    }
    // `then` is looked up once: a getter may throw, or answer differently the next time.
    let then: unknown;
    try {
      then = isObject(value) ? (value as { then?: unknown }).then : undefined;
    } catch (error) {
      this.settle("rejected", error);
      return;
    }
    if (typeof then !== "function") {
      this.settle("fulfilled", value);
      return;
    }
    const follow: Function = then;
    setTimeout(() => this.adopt((resolve, reject) => follow.call(value, resolve, reject)), 0);
  }

  private settle(outcome: "fulfilled" | "rejected", value: unknown): void {
    this.outcome = outcome;
    this.value = value;
    const waiting = this.waiting;
    this.waiting = [];
    for (const react of waiting) setTimeout(react, 0);
  }
}

/** The constructor to use here. */
export function promiseMaker(): PromiseMaker {
  return typeof Promise === "function" ? Promise : (MinimalPromise as unknown as PromiseMaker);
}
