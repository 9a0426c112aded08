/** One connection to one endpoint, from opening SockJS to its end, and its watchdog. */

import { Calls } from "./calls.js";
import type { TransportReason, Trial } from "./fallback.js";
import { failure, type RoomlineError } from "./errors.js";
import { parse, type Command, type Connected, type Incoming, type Pong } from "./messages.js";
import type { Settings } from "./settings.js";
import { Timer } from "./timer.js";
import { Transport } from "./transport.js";

/** How a session ended. */
export interface Ending {
  /** Of the close frame; null: the client gave up. */
  readonly code: number | null;
  readonly reason: string;
  /** The gateway's answer to `connect`, if that was an error. */
  readonly refusal: RoomlineError | null;
  /** What speaks against the transport, or null. */
  readonly fault: TransportReason | null;
}

/** Close codes from here on are the gateway's own decision; SockJS and lost lines give others. */
const FIRST_DECIDED = 3000;
/** Timers that fire this late (milliseconds) show that the machine or the page was asleep. */
const ASLEEP = 2000;
/** On a slow line all takes long, opening too: how many times that a round trip may take. */
const SLOW_LINE = 3;
/** A gateway that opens a transport within this time (milliseconds) is not too busy to open
 * others. */
const PROMPT = 1000;
/** How many pongs in a row must come late. */
const LATE_PONGS = 2;

export interface SessionListener {
  connected(welcome: Connected): void;
  /** A message without an id. */
  pushed(message: Incoming): void;
  /** The gateway told where its log ends; `complete`: and every push so far has arrived. */
  sounded(position: string, complete: boolean): void;
  /** The gateway could not read something this client sent. */
  complained(error: RoomlineError): void;
  /** It is over. Does not follow `Session.close`. */
  ended(ending: Ending): void;
}

export class Session {
  readonly calls: Calls;
  private transport: Transport | null = null;
  private over = false;
  /** Messages without an id so far, as the gateway counts them in `sent`. */
  private received = 0;
  /** When it began, opened and connected: milliseconds since the epoch; 0: not yet. */
  private begunAt = 0;
  private openedAt = 0;
  private connectedAt = 0;
  /** Whether anything came through. */
  private heard = false;
  /** How many pongs in a row came late. */
  private latePongs = 0;
  private readonly openTimer: Timer;
  private readonly doubtTimer: Timer;
  private readonly pingTimer: Timer;

  /** `canLeave`: whether there is another transport to turn to when this one does not deliver. */
  constructor(
    private readonly settings: Settings,
    private readonly canLeave: (transport: string | null) => boolean,
    private readonly listener: SessionListener,
  ) {
    const { environment, timeouts } = settings;
    this.calls = new Calls(environment, timeouts.reply, (text) => this.transport!.send(text));
    this.openTimer = new Timer(environment, () =>
      this.end(null, `not open within ${timeouts.open} ms`),
    );
    this.doubtTimer = new Timer(environment, () => this.doubt());
    this.pingTimer = new Timer(environment, () => this.ping());
  }

  /** Begin. `connect` is asked for and sent as soon as SockJS is open. `only`: the transports to
   * use, or null. */
  open(url: string, only: readonly string[] | null, connect: () => Command): void {
    const { SockJS, sockjs, environment, timeouts } = this.settings;
    this.begunAt = environment.now();
    this.openTimer.start(timeouts.open);
    try {
      this.transport = new Transport(SockJS, url, sockjs, only, environment.now, {
        opened: () => {
          this.openedAt = environment.now();
          this.connect(connect());
        },
        received: (text) => this.receive(text),
        closed: (code, reason) => this.broke(code, reason),
      });
    } catch (error) {
      // SockJS refuses a URL by raising: this endpoint is no good, another may be.
      this.end(null, `SockJS does not take ${url}: ${(error as Error).message}`);
    }
  }

  /** SockJS's name of the transport, or null. */
  get transportName(): string | null {
    return this.transport && this.transport.name;
  }

  /** The transports that SockJS has tried in vain. */
  get tried(): Trial[] {
    return this.transport ? this.transport.tried : [];
  }

  /** Those of them that speak against themselves, and not for a gateway that is too busy. */
  get faulty(): Trial[] {
    return this.transport && this.transport.opening < PROMPT ? this.tried : [];
  }

  /** Whether SockJS was open. */
  get wasOpen(): boolean {
    return this.openedAt > 0;
  }

  /** Milliseconds since it began. */
  get age(): number {
    return Math.max(0, this.settings.environment.now() - this.begunAt);
  }

  /** Leave; the listener hears nothing more. `error` is what unanswered calls fail with. */
  close(error: RoomlineError): void {
    if (this.over) return;
    this.over = true;
    this.openTimer.stop();
    this.doubtTimer.stop();
    this.pingTimer.stop();
    this.calls.close(error);
    if (this.transport) this.transport.close();
  }

  private end(
    code: number | null,
    reason: string,
    refusal: RoomlineError | null = null,
    fault: TransportReason | null = null,
  ): void {
    if (this.over) return;
    const close = code === null ? reason : `${code} ${reason}`;
    this.close(failure("connection_lost", `the connection was lost: ${close}`, true));
    this.listener.ended({ code, reason, refusal, fault });
  }

  /** The connection broke. */
  private broke(code: number, reason: string): void {
    const { fallback, environment } = this.settings;
    const lived = environment.now() - this.openedAt;
    const cut = this.wasOpen && code < FIRST_DECIDED && fallback && lived < fallback.brief;
    this.end(code, reason, null, cut ? "cut" : null);
  }

  /** Milliseconds for a round trip, after which the transport is suspected; null: it is not, for
   * want of another. */
  private get patience(): number | null {
    const { fallback, timeouts } = this.settings;
    if (!fallback || !this.canLeave(this.transportName)) return null;
    const slow = SLOW_LINE * (this.openedAt - this.begunAt);
    return Math.min(Math.max(fallback.deliver, slow), timeouts.reply);
  }

  /** Half the patience has passed without an answer to `connect`. A gateway may take its time for
   * that, but not for a ping: any answer shows that the transport delivers. */
  private doubt(): void {
    const wait = this.patience! / 2;
    const sent = this.settings.environment.now();
    this.calls.send<Pong>(
      { type: "ping" },
      () => undefined,
      (error) => {
        if (this.connectedAt || error.code !== "timeout" || this.slept(sent, wait)) return;
        const reason = `${this.transportName} has opened, but nothing comes through`;
        this.end(null, reason, failure("timeout", reason, true), "unanswered");
      },
      { timeout: wait, ahead: true },
    );
  }

  /** Whether a timer that was to fire after `wait` proves nothing. */
  private slept(since: number, wait: number): boolean {
    const passed = this.settings.environment.now() - since;
    return passed < 0 || passed > wait + ASLEEP;
  }

  private connect(command: Command): void {
    this.openTimer.stop();
    if (this.patience !== null) this.doubtTimer.start(this.patience / 2);
    this.calls.send<Connected>(
      command,
      (welcome) => {
        this.doubtTimer.stop();
        this.connectedAt = this.settings.environment.now();
        this.calls.maxBytes = welcome.limits.message_bytes;
        this.pingTimer.start(this.settings.timeouts.ping);
        this.listener.connected(welcome);
      },
      (error) => {
        const { reply } = this.settings.timeouts;
        const deaf = error.code === "timeout" && !this.heard && !this.slept(this.openedAt, reply);
        this.end(null, error.message, error, deaf ? "unanswered" : null);
      },
    );
  }

  private receive(text: string): void {
    this.heard = true;
    const message = parse(text);
    if (!message) {
      this.end(null, `the peer sent what is no message: ${text.slice(0, 80)}`);
    } else if (message.id === undefined) {
      this.received += 1;
      this.listener.pushed(message);
    } else if (message.id === null) {
      const { code, reason } = message as unknown as { code: string; reason: string };
      this.listener.complained(failure(code, reason, false));
    } else {
      this.calls.receive(message);
    }
  }

  private ping(): void {
    const { ping, pong } = this.settings.timeouts;
    const { now } = this.settings.environment;
    const sent = now();
    this.calls.send<Pong>(
      { type: "ping" },
      (reply) => {
        const { patience } = this;
        const late = patience !== null && now() - sent > patience;
        this.latePongs = late ? this.latePongs + 1 : 0;
        if (this.latePongs === LATE_PONGS) {
          this.end(null, `${LATE_PONGS} pings were answered late`, null, "late");
          return;
        }
        // Whether it was by chance is asked at once.
        this.pingTimer.start(late ? 0 : ping);
        const complete = reply.sent === this.received;
        // Whoever hears this recovers everything, so what was lost is settled.
        this.received = reply.sent;
        this.listener.sounded(reply.position, complete);
      },
      (error) => {
        if (this.over) return;
        if (error.code === "timeout") {
          const fault = this.slept(sent, pong) ? null : "silent";
          this.end(null, `a ping was not answered within ${pong} ms`, null, fault);
        }
        // Any other answer shows that the gateway is there.
        else this.pingTimer.start(ping);
      },
      { timeout: pong, ahead: true },
    );
  }
}
