/** The client: rooms and publishes on top of a connection that comes and goes. */
import { type StateEvent, type TransportEvent } from "./connector.js";
import { Emitter } from "./emitter.js";
import type { SubscribeOptions } from "./follower.js";
import type { Limits, User } from "./messages.js";
import { type Published } from "./publisher.js";
import { type RequestOptions } from "./requester.js";
import { type RoomEvents } from "./rooms.js";
import { type Options } from "./settings.js";
import type { ClientState } from "./states.js";
import type { PublishOptions, Subscription } from "./subscription.js";
/** A session has begun. */
export interface ConnectedEvent {
    readonly session: string;
    readonly user: User | null;
    readonly node: string;
    readonly transport: string | null;
    readonly limits: Limits;
    /** The rooms that the gateway pushes without being asked. */
    readonly rooms: readonly string[];
}
/** The events of every room are the client's too. */
export interface ClientEvents extends RoomEvents {
    state: StateEvent;
    transport: TransportEvent;
    connected: ConnectedEvent;
}
export declare class Roomline extends Emitter<ClientEvents> {
    private readonly settings;
    private readonly connector;
    private readonly publisher;
    private readonly requester;
    private readonly rooms;
    private calls;
    /** `endpoints`: the URL of a gateway's SockJS endpoint, or several. Nothing is opened before
     * `connect()`. Raises an `Error` that names the option that is wrong. */
    constructor(endpoints: string | readonly string[], options?: Options);
    get state(): ClientState;
    /** Who an anonymous client is to the gateway. */
    get clientId(): string;
    /** The session's public id while connected, else null. */
    get session(): string | null;
    /** Who the gateway takes this client for; null: nobody in particular, or not connected. */
    get user(): User | null;
    /** The gateway node while connected, else null. */
    get node(): string | null;
    /** SockJS's name of the transport in use (`"websocket"`, ...) while connected, else null. */
    get transport(): string | null;
    /** Connect, and stay connected until `disconnect()` or until the gateway closes for good. */
    connect(): void;
    /** Leave. Subscriptions continue at the next `connect()`; pending publishes and requests are
     * rejected. */
    disconnect(): void;
    /** Subscribe now or as soon as connected. Raises an `Error` if the room has a subscription. */
    subscribe(room: string, options?: SubscribeOptions): Subscription;
    /** The application's subscription to a room, or null. */
    subscription(room: string): Subscription | null;
    /**
     * Publish `data`, any value that JSON can carry. Fulfilled when the broker has confirmed it;
     * until then retried with the same key. Rejected with a `RoomlineError`.
     */
    publish(room: string, data: unknown, options?: PublishOptions): Promise<Published>;
    /**
     * Ask the project's handler of this name; fulfilled with what it returns. Sent once: rejected
     * with a `RoomlineError` when it is refused, when no answer comes in time, and when the connection
     * is lost meanwhile; where the error is temporary, it may or may not have been carried out.
     */
    request(name: string, data?: unknown, options?: RequestOptions): Promise<unknown>;
    private history;
    private changed;
    private connected;
    private interrupted;
    private pushed;
}
