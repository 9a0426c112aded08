/** Renewing the connection token of a session before it expires. */

import { Backoff } from "./backoff.js";
import type { Calls } from "./calls.js";
import { failure, type RoomlineError } from "./errors.js";
import type { Refreshed } from "./messages.js";
import type { Settings } from "./settings.js";
import { Timer } from "./timer.js";
import { askForToken } from "./tokens.js";

/** The share of a token's lifetime after which it is renewed: between the two, so that clients
 * that connected together do not ask for tokens together. */
const EARLIEST = 0.7;
const LATEST = 0.9;
/** Milliseconds. However short-lived tokens are, asking for them is no busy loop. */
const SHORTEST = 1000;
/** Milliseconds. Browsers fire longer timers at once. */
const LONGEST = 0x7fffffff;

export class Refresher {
  private readonly timer: Timer;
  private readonly backoff: Backoff;
  private calls: Calls | null = null;
  private stopAsking: () => void = () => undefined;
  /** Whether a token was asked for and the gateway has not taken it yet. */
  private asking = false;
  /** Whether that token may be from before the last `renew`. */
  private outdated = false;
  private waiting: Array<() => void> = [];

  constructor(
    private readonly settings: Settings,
    private readonly failed: (error: RoomlineError) => void,
    /** The application gives no token any more. */
    private readonly refused: (error: RoomlineError) => void,
  ) {
    this.timer = new Timer(settings.environment, () => this.ask());
    this.backoff = new Backoff(settings.environment.random, settings.backoff);
  }

  /** `expiresIn`: seconds; null: never. */
  start(calls: Calls, expiresIn: number | null): void {
    this.calls = calls;
    this.asking = false;
    if (expiresIn === null || !this.settings.token) return;
    const share = EARLIEST + (LATEST - EARLIEST) * this.settings.environment.random();
    const wait = Math.floor(1000 * expiresIn * share);
    this.timer.start(Math.min(LONGEST, Math.max(SHORTEST, wait)));
  }

  /** Ask for a new token now; `done` is called when the gateway has taken one that was asked for
   * since. Never, if the session ends before. */
  renew(done: () => void): void {
    this.waiting.push(done);
    this.outdated = this.asking;
    if (!this.asking) this.ask();
  }

  stop(): void {
    this.calls = null;
    this.asking = this.outdated = false;
    this.waiting = [];
    this.timer.stop();
    this.stopAsking();
  }

  private ask(): void {
    this.timer.stop();
    this.asking = true;
    const { environment, timeouts, token } = this.settings;
    this.stopAsking = askForToken(
      environment,
      timeouts.reply,
      token!,
      (given) => {
        if (given !== null) this.refresh(given);
        else
          this.retry(
            failure("token_failed", "there is no token to refresh the session with", true),
          );
      },
      (error) => {
        if (error.temporary) this.retry(error);
        else this.refused(error);
      },
    );
  }

  private refresh(token: string): void {
    const calls = this.calls!;
    calls.send<Refreshed>(
      { type: "refresh", token },
      (reply) => {
        this.backoff.reset();
        this.start(calls, reply.expires_in);
        this.renewed();
      },
      (error) => {
        if (calls.open) this.retry(error);
      },
    );
  }

  private renewed(): void {
    if (this.outdated) {
      this.outdated = false;
      this.ask();
      return;
    }
    const waiting = this.waiting;
    this.waiting = [];
    for (const done of waiting) done();
  }

  /** Until it succeeds or the gateway ends the session because the token has expired. */
  private retry(error: RoomlineError): void {
    this.asking = this.outdated = false;
    this.timer.start(this.backoff.next());
    this.failed(error);
  }
}
