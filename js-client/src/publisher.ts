/** Publishes that wait for their confirmation, across retries and reconnects. */

import { Backoff } from "./backoff.js";
import type { Calls } from "./calls.js";
import { failure, type RoomlineError } from "./errors.js";
import { promiseMaker, type PromiseMaker } from "./promise.js";
import type { Settings } from "./settings.js";
import { snapshot } from "./snapshot.js";
import { Timer } from "./timer.js";

/** The broker has confirmed a publication. */
export interface Published {
  readonly room: string;
  readonly key: string;
}

/** One publish. It ends once: confirmed, refused, or out of time. */
interface Pending {
  readonly room: string;
  readonly data: unknown;
  readonly key: string;
  readonly backoff: Backoff;
  readonly retryTimer: Timer;
  readonly deadline: Timer;
  /** Whether it waits for its room. */
  held: boolean;
  /** Whether a new token was asked for because of it. */
  renewed: boolean;
  readonly resolve: (published: Published) => void;
  readonly reject: (error: RoomlineError) => void;
}

export class Publisher {
  private readonly PromiseClass: PromiseMaker = promiseMaker();
  private pending: Pending[] = [];
  private calls: Calls | null = null;

  /** `awaitsAccess`: whether the right to publish to a room may still have to come: it comes with
   * the room's subscription where a room token grants it, or when the rights have changed. `release`
   * must be called when it has. `renew`: replace the connection's token, then call `done`, unless
   * the session ends before; false: there is nobody to ask for one. */
  constructor(
    private readonly settings: Settings,
    private readonly awaitsAccess: (room: string) => boolean,
    private readonly renew: (done: () => void) => boolean,
  ) {}

  /** `key`: null for a random one. `accepting`: whether a connection is there or to be expected. */
  publish(room: string, data: unknown, key: string | null, accepting: boolean): Promise<Published> {
    const { environment, timeouts, maxPending } = this.settings;
    return new this.PromiseClass<Published>((resolve, reject) => {
      const publishKey = key === null ? environment.randomId() : key;
      const refuse = (code: string, message: string, temporary: boolean) => {
        const error = failure(code, message, temporary, room);
        error.key = publishKey;
        reject(error);
      };
      const frozen = snapshot(data);
      if (frozen === null) {
        refuse("bad_request", "data must be a value that JSON can carry", false);
      } else if (!accepting) {
        refuse("disconnected", "the client is disconnected: call connect() first", true);
      } else if (this.pending.length >= maxPending) {
        refuse("too_many_pending", `${maxPending} publishes wait for their confirmation`, true);
      } else {
        const item: Pending = {
          room,
          data: frozen.data,
          key: publishKey,
          backoff: new Backoff(environment.random, this.settings.backoff),
          retryTimer: new Timer(environment, () => this.send(item)),
          deadline: new Timer(environment, () =>
            this.fail(
              item,
              failure("timeout", `not confirmed within ${timeouts.publish} ms`, true),
            ),
          ),
          held: false,
          renewed: false,
          resolve,
          reject,
        };
        this.pending.push(item);
        item.deadline.start(timeouts.publish);
        this.send(item);
      }
    });
  }

  /** A session has begun: everything unconfirmed is sent, in the order of the calls. */
  resume(calls: Calls): void {
    this.calls = calls;
    for (const item of this.pending.slice()) this.send(item);
  }

  /** The session is over; what is unconfirmed waits for the next one. */
  suspend(): void {
    this.calls = null;
    for (const item of this.pending) item.retryTimer.stop();
  }

  /** A room's subscription stands, or has ended: what has waited for it is sent. */
  release(room: string): void {
    for (const item of this.pending.slice()) if (item.held && item.room === room) this.send(item);
  }

  /** No session will follow. */
  abandon(reason: string): void {
    for (const item of this.pending.slice()) this.fail(item, failure("disconnected", reason, true));
  }

  private send(item: Pending): void {
    const calls = this.calls;
    if (!calls) return;
    item.held = this.awaitsAccess(item.room);
    if (item.held) return;
    calls.send(
      { type: "publish", room: item.room, data: item.data, key: item.key },
      () => {
        if (this.remove(item)) item.resolve({ room: item.room, key: item.key });
      },
      (error) => {
        if (this.pending.indexOf(item) < 0) return;
        const revoked = error.code === "token_revoked";
        if (error.temporary) item.retryTimer.start(item.backoff.next());
        // What granted it has ended while it was on its way, and is being renewed.
        else if ((revoked || error.code === "forbidden") && this.awaitsAccess(item.room))
          item.held = true;
        else if (!revoked || !this.renewFor(item)) this.fail(item, error);
      },
    );
  }

  /** The token that granted it counts no more: send it again when another one was taken. False: it
   * was refused with another one already, or there is none. */
  private renewFor(item: Pending): boolean {
    if (item.renewed) return false;
    item.renewed = true;
    return this.renew(() => {
      if (this.pending.indexOf(item) >= 0) this.send(item);
    });
  }

  private fail(item: Pending, error: RoomlineError): void {
    if (!this.remove(item)) return;
    error.room = item.room;
    error.key = item.key;
    item.reject(error);
  }

  private remove(item: Pending): boolean {
    const place = this.pending.indexOf(item);
    if (place < 0) return false;
    this.pending.splice(place, 1);
    item.retryTimer.stop();
    item.deadline.stop();
    return true;
  }
}
