/** Commands on their way and the replies they wait for, within one session. */

import type { Environment } from "./environment.js";
import { failure, type RoomlineError } from "./errors.js";
import { encode, type Command, type ErrorReply, type Incoming } from "./messages.js";
import { Table } from "./table.js";
import { Timer } from "./timer.js";
import { utf8Length } from "./utf8.js";

/** How many commands may be without a reply, those ahead of others aside. The rest waits here, so
 * that a client with many rooms that comes back is no flood. */
const WINDOW = 16;

export interface CallOptions {
  /** Milliseconds to wait for the reply, from the moment the command is sent. */
  readonly timeout?: number;
  /** Send at once, whatever else waits, and let nothing else wait for its reply. */
  readonly ahead?: boolean;
}

interface Call {
  readonly command: Command;
  readonly timeout: number;
  readonly ahead: boolean;
  readonly done: (reply: any) => void;
  readonly fail: (error: RoomlineError) => void;
}

/**
 * Each call ends exactly once: `done` with its reply, or `fail` with the gateway's error,
 * `timeout`, `too_large`, or what `close` was given.
 */
export class Calls {
  /** The longest command (bytes) that the gateway takes: it disconnects for longer ones. */
  maxBytes = Infinity;
  private lastId = 0;
  private readonly unanswered = new Table<{ readonly call: Call; readonly timer: Timer }>();
  private unansweredCount = 0;
  private waiting: Call[] = [];
  private closed: RoomlineError | null = null;

  constructor(
    private readonly environment: Environment,
    private readonly replyTimeout: number,
    private readonly write: (text: string) => void,
  ) {}

  /** False once the session is over: failures that come then say nothing about the command. */
  get open(): boolean {
    return this.closed === null;
  }

  send<Reply>(
    command: Command,
    done: (reply: Reply) => void,
    fail: (error: RoomlineError) => void,
    options: CallOptions = {},
  ): void {
    if (this.closed) {
      fail(this.closed);
      return;
    }
    const timeout = options.timeout === undefined ? this.replyTimeout : options.timeout;
    const call: Call = { command, timeout, ahead: options.ahead === true, done, fail };
    if (call.ahead) this.transmit(call);
    else {
      this.waiting.push(call);
      this.fillWindow();
    }
  }

  /** A message with an id has come. */
  receive(message: Incoming): void {
    const id = String(message.id);
    const entry = this.unanswered.get(id);
    // A reply that nobody waits for is one that came after its time-out.
    if (!entry) return;
    this.forget(id);
    if (message.type === "error") {
      const reply = message as unknown as ErrorReply;
      const { code, reason, temporary, refusal } = reply;
      const error = failure(code, reason, temporary, roomOf(entry.call.command));
      error.refusal = refusal === undefined ? null : refusal;
      entry.call.fail(error);
    } else {
      entry.call.done(message);
    }
    this.fillWindow();
  }

  /** The session is over: nothing is sent any more and everything unanswered fails. */
  close(error: RoomlineError): void {
    this.closed = error;
    const entries = this.unanswered.values();
    const waiting = this.waiting;
    this.unanswered.clear();
    this.waiting = [];
    for (const { timer } of entries) timer.stop();
    for (const { call } of entries) call.fail(error);
    for (const call of waiting) call.fail(error);
  }

  private fillWindow(): void {
    while (this.unansweredCount < WINDOW && this.waiting.length && !this.closed) {
      this.transmit(this.waiting.shift()!);
    }
  }

  private transmit(call: Call): void {
    const id = ++this.lastId;
    const text = encode(id, call.command);
    const bytes = utf8Length(text);
    if (bytes > this.maxBytes) {
      const reason = `the command is ${bytes} bytes, the gateway takes at most ${this.maxBytes}`;
      call.fail(failure("too_large", reason, false, roomOf(call.command)));
      return;
    }
    const timer = new Timer(this.environment, () => {
      this.forget(String(id));
      const reason = `no reply to ${call.command.type} within ${call.timeout} ms`;
      call.fail(failure("timeout", reason, true, roomOf(call.command)));
      this.fillWindow();
    });
    this.unanswered.set(String(id), { call, timer });
    if (!call.ahead) this.unansweredCount += 1;
    timer.start(call.timeout);
    this.write(text);
  }

  private forget(id: string): void {
    const { call, timer } = this.unanswered.get(id)!;
    timer.stop();
    this.unanswered.remove(id);
    if (!call.ahead) this.unansweredCount -= 1;
  }
}

function roomOf(command: Command): string | null {
  return "room" in command ? command.room : null;
}
