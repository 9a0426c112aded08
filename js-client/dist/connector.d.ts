/**
 * Keeping one session alive: which endpoint, by which transport, when to try, when to give up.
 *
 *     disconnected --connect()--> connecting --connected--> connected
 *          ^                       ^     `-- failed: wait, next endpoint --'|
 *          |                       `----------- lost: wait, next endpoint --'
 *          `-- disconnect(), a final close, a refusal that is not temporary, no token for good
 */
import type { Calls } from "./calls.js";
import type { Trial } from "./fallback.js";
import { type RoomlineError } from "./errors.js";
import { type Connected, type Incoming } from "./messages.js";
import type { Settings } from "./settings.js";
import type { ClientState } from "./states.js";
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
export declare class Connector {
    private readonly settings;
    private readonly listener;
    state: ClientState;
    /** What the gateway said in `connected`, while connected. */
    welcome: Connected | null;
    private session;
    private endpoint;
    /** When it began to seek a connection: milliseconds since the epoch. */
    private soughtSince;
    /** Counts changes of state, to notice those that listeners make. */
    private changes;
    /** Whether the gateway has asked this session to leave. */
    private leaving;
    private stopAsking;
    private readonly routes;
    private readonly backoff;
    private readonly retryTimer;
    private readonly stableTimer;
    private readonly leaveTimer;
    private readonly refresher;
    constructor(settings: Settings, listener: ConnectorListener);
    /** SockJS's name of the transport in use, or null. */
    get transport(): string | null;
    connect(): void;
    disconnect(): void;
    /** The gateway asks to go elsewhere in `milliseconds`. */
    leaveIn(milliseconds: number): void;
    /** Replace the session's token by a new one, then call `done`. False: there is nobody to ask. */
    renew(done: () => void): boolean;
    private attempt;
    private open;
    private get url();
    private command;
    /** Milliseconds since it began to seek a connection. */
    private get seeking();
    private connected;
    /** The connection has lasted. */
    private isStable;
    /** The gateway wants this client on another node. */
    private leave;
    private ended;
    /** What the end of a session says of its transport. True: another one is to be used. */
    private judge;
    private giveUp;
    private moveOn;
    private wait;
    /** End the session and everything that goes on for it. */
    private drop;
    /** Tell of a new state, everything being ready for it. False: a listener has changed it again. */
    private change;
}
