/** One connection to one endpoint, from opening SockJS to its end, and its watchdog. */

import { Calls } from "./calls.js";
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
}

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
  private readonly openTimer: Timer;
  private readonly pingTimer: Timer;

  constructor(
    private readonly settings: Settings,
    private readonly listener: SessionListener,
  ) {
    const { environment, timeouts } = settings;
    this.calls = new Calls(environment, timeouts.reply, (text) => this.transport!.send(text));
    this.openTimer = new Timer(environment, () =>
      this.end(null, `not open within ${timeouts.open} ms`),
    );
    this.pingTimer = new Timer(environment, () => this.ping());
  }

  /** Begin. `connect` is sent as soon as SockJS is open. */
  open(url: string, connect: Command): void {
    this.openTimer.start(this.settings.timeouts.open);
    try {
      this.transport = new Transport(this.settings.SockJS, url, this.settings.sockjs, {
        opened: () => this.connect(connect),
        received: (text) => this.receive(text),
        closed: (code, reason) => this.end(code, reason),
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

  /** Leave; the listener hears nothing more. `error` is what unanswered calls fail with. */
  close(error: RoomlineError): void {
    if (this.over) return;
    this.over = true;
    this.openTimer.stop();
    this.pingTimer.stop();
    this.calls.close(error);
    if (this.transport) this.transport.close();
  }

  private end(code: number | null, reason: string, refusal: RoomlineError | null = null): void {
    if (this.over) return;
    const close = code === null ? reason : `${code} ${reason}`;
    this.close(failure("connection_lost", `the connection was lost: ${close}`, true));
    this.listener.ended({ code, reason, refusal });
  }

  private connect(command: Command): void {
    this.openTimer.stop();
    this.calls.send<Connected>(
      command,
      (welcome) => {
        this.calls.maxBytes = welcome.limits.message_bytes;
        this.pingTimer.start(this.settings.timeouts.ping);
        this.listener.connected(welcome);
      },
      (error) => this.end(null, error.message, error),
    );
  }

  private receive(text: string): void {
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
    this.calls.send<Pong>(
      { type: "ping" },
      (reply) => {
        this.pingTimer.start(ping);
        const complete = reply.sent === this.received;
        // Whoever hears this recovers everything, so what was lost is settled.
        this.received = reply.sent;
        this.listener.sounded(reply.position, complete);
      },
      (error) => {
        if (this.over) return;
        if (error.code === "timeout") this.end(null, `a ping was not answered within ${pong} ms`);
        // Any other answer shows that the gateway is there.
        else this.pingTimer.start(ping);
      },
      { timeout: pong, ahead: true },
    );
  }
}
