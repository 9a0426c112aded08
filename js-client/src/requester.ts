/** Requests that wait for their answers: each is sent once, over the connection of the moment. */

import type { Calls } from "./calls.js";
import { failure, type RoomlineError } from "./errors.js";
import type { Response } from "./messages.js";
import { promiseMaker, type PromiseMaker } from "./promise.js";
import type { Settings } from "./settings.js";
import { snapshot } from "./snapshot.js";
import { Timer } from "./timer.js";

export interface RequestOptions {
  /** Milliseconds until the answer, 100 to 60000. Default: `timeouts.request`. */
  readonly timeout?: number;
}

/** One request. It ends once: answered, refused, out of time, or with the connection. */
interface Pending {
  readonly name: string;
  readonly data: unknown;
  readonly timeout: number;
  /** Until it is sent: the gateway looks after its time from then on. */
  readonly deadline: Timer;
  readonly resolve: (data: unknown) => void;
  readonly reject: (error: RoomlineError) => void;
}

export class Requester {
  private readonly PromiseClass: PromiseMaker = promiseMaker();
  /** What waits for a connection. */
  private unsent: Pending[] = [];
  private underway = 0;
  private calls: Calls | null = null;

  constructor(private readonly settings: Settings) {}

  /** `accepting`: whether a connection is there or to be expected. */
  request(
    name: string,
    data: unknown,
    options: RequestOptions,
    accepting: boolean,
  ): Promise<unknown> {
    const { environment, maxPending, timeouts } = this.settings;
    const timeout = options.timeout === undefined ? timeouts.request : options.timeout;
    return new this.PromiseClass<unknown>((resolve, reject) => {
      const frozen = snapshot(data);
      if (frozen === null) {
        reject(failure("bad_request", "data must be a value that JSON can carry", false));
      } else if (!accepting) {
        reject(failure("disconnected", "the client is disconnected: call connect() first", true));
      } else if (this.unsent.length + this.underway >= maxPending) {
        reject(failure("too_many_pending", `${maxPending} requests wait for their answer`, true));
      } else {
        const item: Pending = {
          name,
          data: frozen.data,
          timeout,
          deadline: new Timer(environment, () => {
            this.unsent.splice(this.unsent.indexOf(item), 1);
            reject(failure("timeout", `not connected within ${timeout} ms: it was not sent`, true));
          }),
          resolve,
          reject,
        };
        if (this.calls) this.send(item, this.calls);
        else {
          this.unsent.push(item);
          item.deadline.start(timeout);
        }
      }
    });
  }

  /** A session has begun: what has waited for it is sent, in the order of the calls. */
  resume(calls: Calls): void {
    this.calls = calls;
    const items = this.unsent;
    this.unsent = [];
    for (const item of items) {
      item.deadline.stop();
      this.send(item, calls);
    }
  }

  /** The session is over. What was sent has failed with it: nothing is sent twice. */
  suspend(): void {
    this.calls = null;
  }

  /** No session will follow. */
  abandon(reason: string): void {
    const items = this.unsent;
    this.unsent = [];
    for (const { deadline, reject } of items) {
      deadline.stop();
      reject(failure("disconnected", reason, true));
    }
  }

  private send({ name, data, timeout, resolve, reject }: Pending, calls: Calls): void {
    this.underway += 1;
    calls.send<Response>(
      { type: "request", name, data, timeout: timeout / 1000 },
      (response) => {
        this.underway -= 1;
        resolve(response.data);
      },
      (error) => {
        this.underway -= 1;
        reject(error);
      },
      // The gateway answers in time; and who waits for an answer holds up nobody else.
      { timeout: timeout + this.settings.timeouts.reply, ahead: true },
    );
  }
}
