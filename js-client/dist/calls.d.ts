/** Commands on their way and the replies they wait for, within one session. */
import type { Environment } from "./environment.js";
import { type RoomlineError } from "./errors.js";
import { type Command, type Incoming } from "./messages.js";
export interface CallOptions {
    /** Milliseconds to wait for the reply, from the moment the command is sent. */
    readonly timeout?: number;
    /** Send at once, whatever else waits, and let nothing else wait for its reply. */
    readonly ahead?: boolean;
}
/**
 * Each call ends exactly once: `done` with its reply, or `fail` with the gateway's error,
 * `timeout`, `too_large`, or what `close` was given.
 */
export declare class Calls {
    private readonly environment;
    private readonly replyTimeout;
    private readonly write;
    /** The longest command (bytes) that the gateway takes: it disconnects for longer ones. */
    maxBytes: number;
    private lastId;
    private readonly unanswered;
    private unansweredCount;
    private waiting;
    private closed;
    constructor(environment: Environment, replyTimeout: number, write: (text: string) => void);
    /** False once the session is over: failures that come then say nothing about the command. */
    get open(): boolean;
    send<Reply>(command: Command, done: (reply: Reply) => void, fail: (error: RoomlineError) => void, options?: CallOptions): void;
    /** A message with an id has come. */
    receive(message: Incoming): void;
    /** The session is over: nothing is sent any more and everything unanswered fails. */
    close(error: RoomlineError): void;
    private fillWindow;
    private transmit;
    private forget;
}
