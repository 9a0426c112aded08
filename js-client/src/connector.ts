/**
 * Keeping one session alive: which endpoint, by which transport, when to try, when to give up.
 *
 *     disconnected --connect()--> connecting --connected--> connected
 *          ^                       ^     `-- failed: wait, next endpoint --'|
 *          |                       `----------- lost: wait, next endpoint --'
 *          `-- disconnect(), a final close, a refusal that is not temporary, no token for good
 */

import { Backoff } from "./backoff.js";
import type { Calls } from "./calls.js";
import { DISCONNECTS } from "./codes.js";
import type { TransportReason, Trial } from "./fallback.js";
import { failure, isOutdated, type RoomlineError } from "./errors.js";
import { PROTOCOL_VERSION, type Command, type Connected, type Incoming } from "./messages.js";
import { Refresher } from "./refresher.js";
import { Routes } from "./routes.js";
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

/** How this connection came about. */
export interface TransportEvent {
  /** SockJS's name of the transport in use. */
  readonly transport: string | null;
  /** The better ones that are not in use, and why. */
  readonly tried: readonly Trial[];
  /** Milliseconds from `connect()`, or from the loss of the last connection, to this one. */
  readonly ms: number;
}

export interface ConnectorListener {
  changed(event: StateEvent): void;
  /** Told before `connected`. */
  routed(event: TransportEvent): void;
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
  /** When it began to seek a connection: milliseconds since the epoch. */
  private soughtSince = 0;
  /** Counts changes of state, to notice those that listeners make. */
  private changes = 0;
  /** Whether the gateway has asked this session to leave. */
  private leaving = false;
  private stopAsking: () => void = () => undefined;
  private readonly routes: Routes;
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
    this.routes = new Routes(settings);
    this.backoff = new Backoff(environment.random, settings.backoff);
    this.retryTimer = new Timer(environment, () => this.attempt());
    this.stableTimer = new Timer(environment, () => this.isStable());
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
    this.soughtSince = this.settings.environment.now();
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
    const canLeave = (transport: string | null) => this.routes.canLeave(transport);
    const session = new Session(this.settings, canLeave, {
      connected: (welcome) => this.connected(session, welcome),
      pushed: (message) => this.listener.pushed(message),
      sounded: (position, complete) => this.listener.sounded(position, complete),
      complained: (error) => this.listener.failed(error),
      ended: (ending) => this.ended(session, ending),
    });
    this.session = session;
    const only = this.routes.begin(this.url);
    session.open(this.url, only, () => this.command(session, token));
  }

  private get url(): string {
    return this.settings.endpoints[this.endpoint]!;
  }

  private command(session: Session, token: string | null): Command {
    const command: Extract<Command, { type: "connect" }> = {
      type: "connect",
      version: PROTOCOL_VERSION,
    };
    if (token === null) command.client = this.settings.clientId;
    else command.token = token;
    const tried = this.routes.leftOut(this.url, session.tried);
    if (tried.length) command.transport = { tried, ms: this.seeking };
    return command;
  }

  /** Milliseconds since it began to seek a connection. */
  private get seeking(): number {
    return Math.max(0, this.settings.environment.now() - this.soughtSince);
  }

  private connected(session: Session, welcome: Connected): void {
    this.welcome = welcome;
    this.stableTimer.start(this.settings.timeouts.stable);
    this.refresher.start(session.calls, welcome.expires_in);
    const { transportName: transport, tried, faulty } = session;
    const report = { transport, tried: this.routes.leftOut(this.url, tried), ms: this.seeking };
    if (transport !== null) this.routes.delivers(this.url, transport, faulty, false);
    if (!this.change("connected", null, null, null)) return;
    const change = this.changes;
    this.listener.routed(report);
    if (change === this.changes) this.listener.connected(welcome, session.calls);
  }

  /** The connection has lasted. */
  private isStable(): void {
    this.backoff.reset();
    const { transport } = this;
    if (transport !== null) this.routes.delivers(this.url, transport, [], true);
  }

  /** The gateway wants this client on another node. */
  private leave(): void {
    const reason = "the gateway asked to reconnect";
    this.routes.acquit(this.url);
    this.drop(reason, "connection_lost");
    this.moveOn();
    this.wait(this.backoff.move(), null, reason);
  }

  private ended(session: Session, { code, reason, refusal, fault }: Ending): void {
    const fellBack = this.judge(session, fault);
    const asked = this.leaving && code === DRAINING;
    const error = finalError(code, reason, refusal);
    if (error) {
      this.giveUp(error, code, reason);
      return;
    }
    this.drop(reason, "connection_lost");
    // What is left to try is tried at the same endpoint.
    if (!fellBack) this.moveOn();
    const current = this.wait(asked ? this.backoff.move() : this.backoff.next(), code, reason);
    if (current && refusal) this.listener.failed(refusal);
  }

  /** What the end of a session says of its transport. True: another one is to be used. */
  private judge(session: Session, fault: TransportReason | null): boolean {
    const transport = session.transportName;
    if (!session.wasOpen) {
      this.routes.unreached(this.url, session.tried.length > 0);
      return false;
    }
    if (fault && transport !== null) {
      return this.routes.strike(this.url, { transport, reason: fault, ms: session.age });
    }
    this.routes.acquit(this.url);
    return false;
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
    if (this.welcome) this.soughtSince = this.settings.environment.now();
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
