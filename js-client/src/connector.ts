/**
 * Keeping one session alive: which endpoint, when to try, when to give up.
 *
 *     disconnected --connect()--> connecting --connected--> connected
 *          ^                       ^     `-- failed: wait, next endpoint --'|
 *          |                       `----------- lost: wait, next endpoint --'
 *          `-- disconnect(), a final close, a refusal that is not temporary, no token for good
 */

import { Backoff } from "./backoff.js";
import type { Calls } from "./calls.js";
import { DISCONNECTS } from "./codes.js";
import { failure, isOutdated, type RoomlineError } from "./errors.js";
import { PROTOCOL_VERSION, type Command, type Connected, type Incoming } from "./messages.js";
import { Refresher } from "./refresher.js";
import { Session, type Ending } from "./session.js";
import type { Settings } from "./settings.js";
import type { ClientState } from "./states.js";
import { Timer } from "./timer.js";
import { askForToken } from "./tokens.js";

/** Close codes from here to 3999 are final; all others are not. */
const FIRST_FINAL = 3500;
const LAST_FINAL = 3999;
const DRAINING = 3001;

/** The state of the connection changed, or another attempt is going to be made. */
export interface StateEvent {
  readonly state: ClientState;
  readonly previous: ClientState;
  /** Of the close frame that led here, or null. */
  readonly code: number | null;
  readonly reason: string | null;
  /** Milliseconds until the next attempt, or null. */
  readonly retryIn: number | null;
}

export interface ConnectorListener {
  changed(event: StateEvent): void;
  connected(welcome: Connected, calls: Calls): void;
  /** There is no session now. Told before `changed`. */
  interrupted(): void;
  /** There is no coming back: the gateway, or who gives the tokens, does not want this client.
   * Told after `changed`. */
  refused(error: RoomlineError): void;
  pushed(message: Incoming): void;
  sounded(position: string, complete: boolean): void;
  failed(error: RoomlineError): void;
}

export class Connector {
  state: ClientState = "disconnected";
  /** What the gateway said in `connected`, while connected. */
  welcome: Connected | null = null;
  private session: Session | null = null;
  private endpoint = 0;
  /** Counts changes of state, to notice those that listeners make. */
  private changes = 0;
  /** Whether the gateway has asked this session to leave. */
  private leaving = false;
  private stopAsking: () => void = () => undefined;
  private readonly backoff: Backoff;
  private readonly retryTimer: Timer;
  private readonly stableTimer: Timer;
  private readonly leaveTimer: Timer;
  private readonly refresher: Refresher;

  constructor(
    private readonly settings: Settings,
    private readonly listener: ConnectorListener,
  ) {
    const { environment } = settings;
    this.backoff = new Backoff(environment.random, settings.backoff);
    this.retryTimer = new Timer(environment, () => this.attempt());
    this.stableTimer = new Timer(environment, () => this.backoff.reset());
    this.leaveTimer = new Timer(environment, () => this.leave());
    this.refresher = new Refresher(
      settings,
      (error) => listener.failed(error),
      (error) => this.giveUp(error, null, error.message),
    );
  }

  /** SockJS's name of the transport in use, or null. */
  get transport(): string | null {
    return this.welcome && this.session ? this.session.transportName : null;
  }

  connect(): void {
    if (this.state !== "disconnected") return;
    this.backoff.reset();
    this.retryTimer.start(0);
    this.change("connecting", null, null, null);
  }

  disconnect(): void {
    if (this.state === "disconnected") return;
    this.drop("disconnect() was called", "disconnected");
    this.change("disconnected", null, null, null);
  }

  /** The gateway asks to go elsewhere in `milliseconds`. */
  leaveIn(milliseconds: number): void {
    this.leaving = true;
    this.leaveTimer.start(milliseconds);
  }

  /** Replace the session's token by a new one, then call `done`. False: there is nobody to ask. */
  renew(done: () => void): boolean {
    if (!this.settings.token) return false;
    this.refresher.renew(done);
    return true;
  }

  private attempt(): void {
    const { environment, timeouts, token } = this.settings;
    if (!token) {
      this.open(null);
      return;
    }
    const change = this.changes;
    this.stopAsking = askForToken(
      environment,
      timeouts.reply,
      token,
      (given) => {
        // The callback itself may have disconnected.
        if (change === this.changes) this.open(given);
      },
      (error) => {
        if (change !== this.changes) return;
        if (!error.temporary) this.giveUp(error, null, error.message);
        else if (this.wait(this.backoff.next(), null, error.message)) this.listener.failed(error);
      },
    );
  }

  private open(token: string | null): void {
    const command: Extract<Command, { type: "connect" }> = {
      type: "connect",
      version: PROTOCOL_VERSION,
    };
    if (token === null) command.client = this.settings.clientId;
    else command.token = token;
    const session = new Session(this.settings, {
      connected: (welcome) => this.connected(session, welcome),
      pushed: (message) => this.listener.pushed(message),
      sounded: (position, complete) => this.listener.sounded(position, complete),
      complained: (error) => this.listener.failed(error),
      ended: (ending) => this.ended(ending),
    });
    this.session = session;
    session.open(this.settings.endpoints[this.endpoint]!, command);
  }

  private connected(session: Session, welcome: Connected): void {
    this.welcome = welcome;
    this.stableTimer.start(this.settings.timeouts.stable);
    this.refresher.start(session.calls, welcome.expires_in);
    if (this.change("connected", null, null, null)) this.listener.connected(welcome, session.calls);
  }

  /** The gateway wants this client on another node. */
  private leave(): void {
    const reason = "the gateway asked to reconnect";
    this.drop(reason, "connection_lost");
    this.moveOn();
    this.wait(this.backoff.move(), null, reason);
  }

  private ended({ code, reason, refusal }: Ending): void {
    const asked = this.leaving && code === DRAINING;
    const error = finalError(code, reason, refusal);
    if (error) {
      this.giveUp(error, code, reason);
      return;
    }
    this.drop(reason, "connection_lost");
    this.moveOn();
    const current = this.wait(asked ? this.backoff.move() : this.backoff.next(), code, reason);
    if (current && refusal) this.listener.failed(refusal);
  }

  private giveUp(error: RoomlineError, code: number | null, reason: string): void {
    this.drop(reason, "connection_lost");
    if (this.change("disconnected", code, reason, null)) this.listener.refused(error);
  }

  private moveOn(): void {
    this.endpoint = (this.endpoint + 1) % this.settings.endpoints.length;
  }

  private wait(milliseconds: number, code: number | null, reason: string): boolean {
    this.retryTimer.start(milliseconds);
    return this.change("connecting", code, reason, milliseconds);
  }

  /** End the session and everything that goes on for it. */
  private drop(reason: string, code: string): void {
    const session = this.session;
    this.session = null;
    this.welcome = null;
    this.leaving = false;
    this.stopAsking();
    this.retryTimer.stop();
    this.stableTimer.stop();
    this.leaveTimer.stop();
    this.refresher.stop();
    if (session) session.close(failure(code, reason, true));
  }

  /** Tell of a new state, everything being ready for it. False: a listener has changed it again. */
  private change(
    state: ClientState,
    code: number | null,
    reason: string | null,
    retryIn: number | null,
  ): boolean {
    const event = { state, previous: this.state, code, reason, retryIn };
    const change = ++this.changes;
    this.state = state;
    if (state !== "connected") this.listener.interrupted();
    if (change === this.changes) this.listener.changed(event);
    return change === this.changes;
  }
}

/** Why there is no coming back; null: there is. */
function finalError(
  code: number | null,
  reason: string,
  refusal: RoomlineError | null,
): RoomlineError | null {
  if (refusal) {
    // A new token may be good where this one was too old.
    return refusal.temporary || isOutdated(refusal) ? null : refusal;
  }
  if (code === null || code < FIRST_FINAL || code > LAST_FINAL) return null;
  const entry = DISCONNECTS[code];
  const meaning = entry ? `: ${entry.meaning}` : "";
  return failure(code, `the gateway closed the connection, ${code} ${reason}${meaning}`, false);
}
