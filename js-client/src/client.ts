/** The client: rooms and publishes on top of a connection that comes and goes. */

import type { Calls } from "./calls.js";
import { Connector, type StateEvent, type TransportEvent } from "./connector.js";
import { Emitter } from "./emitter.js";
import { failure } from "./errors.js";
import type { SubscribeOptions } from "./follower.js";
import type {
  Connected,
  HistoryPage,
  Incoming,
  Limits,
  Publication,
  ReconnectPush,
  UnsubscribedPush,
  User,
} from "./messages.js";
import { promiseMaker } from "./promise.js";
import { Publisher, type Published } from "./publisher.js";
import { Requester, type RequestOptions } from "./requester.js";
import { Rooms, type RoomEvents } from "./rooms.js";
import { settingsOf, type Options, type Settings } from "./settings.js";
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

export class Roomline extends Emitter<ClientEvents> {
  private readonly settings: Settings;
  private readonly connector: Connector;
  private readonly publisher: Publisher;
  private readonly requester: Requester;
  private readonly rooms: Rooms;
  private calls: Calls | null = null;

  /** `endpoints`: the URL of a gateway's SockJS endpoint, or several. Nothing is opened before
   * `connect()`. Raises an `Error` that names the option that is wrong. */
  constructor(endpoints: string | readonly string[], options: Options = {}) {
    const settings = settingsOf(endpoints, options);
    super(settings.environment);
    this.settings = settings;
    const renew = (done: () => void) => this.connector.renew(done);
    this.publisher = new Publisher(settings, (room) => this.rooms.awaitsAccess(room), renew);
    this.requester = new Requester(settings);
    this.rooms = new Rooms(settings, {
      tell: (name, event) => this.emit<keyof RoomEvents>(name, event),
      opened: (room) => this.publisher.release(room),
      renew,
      publish: (room, data, publishOptions) => this.publish(room, data, publishOptions),
      history: (room, limit) => this.history(room, limit),
    });
    this.connector = new Connector(settings, {
      changed: (event) => this.changed(event),
      routed: (event) => this.emit("transport", event),
      connected: (welcome, calls) => this.connected(welcome, calls),
      interrupted: () => this.interrupted(),
      refused: (error) => this.emit("error", error),
      pushed: (message) => this.pushed(message),
      sounded: (position, complete) => this.rooms.sounded(position, complete),
      failed: (error) => this.emit("error", error),
    });
  }

  get state(): ClientState {
    return this.connector.state;
  }

  /** Who an anonymous client is to the gateway. */
  get clientId(): string {
    return this.settings.clientId;
  }

  /** The session's public id while connected, else null. */
  get session(): string | null {
    return this.connector.welcome && this.connector.welcome.session;
  }

  /** Who the gateway takes this client for; null: nobody in particular, or not connected. */
  get user(): User | null {
    return this.connector.welcome && this.connector.welcome.user;
  }

  /** The gateway node while connected, else null. */
  get node(): string | null {
    return this.connector.welcome && this.connector.welcome.node;
  }

  /** SockJS's name of the transport in use (`"websocket"`, ...) while connected, else null. */
  get transport(): string | null {
    return this.connector.transport;
  }

  /** Connect, and stay connected until `disconnect()` or until the gateway closes for good. */
  connect(): void {
    this.connector.connect();
  }

  /** Leave. Subscriptions continue at the next `connect()`; pending publishes and requests are
   * rejected. */
  disconnect(): void {
    this.connector.disconnect();
  }

  /** Subscribe now or as soon as connected. Raises an `Error` if the room has a subscription. */
  subscribe(room: string, options: SubscribeOptions = {}): Subscription {
    return this.rooms.subscribe(room, options);
  }

  /** The application's subscription to a room, or null. */
  subscription(room: string): Subscription | null {
    return this.rooms.subscription(room);
  }

  /**
   * Publish `data`, any value that JSON can carry. Fulfilled when the broker has confirmed it;
   * until then retried with the same key. Rejected with a `RoomlineError`.
   */
  publish(room: string, data: unknown, options: PublishOptions = {}): Promise<Published> {
    const key = options.key === undefined ? null : options.key;
    return this.publisher.publish(room, data, key, this.state !== "disconnected");
  }

  /**
   * Ask the project's handler of this name; fulfilled with what it returns. Sent once: rejected
   * with a `RoomlineError` when it is refused, when no answer comes in time, and when the connection
   * is lost meanwhile; where the error is temporary, it may or may not have been carried out.
   */
  request(name: string, data: unknown = null, options: RequestOptions = {}): Promise<unknown> {
    return this.requester.request(name, data, options, this.state !== "disconnected");
  }

  private history(room: string, limit: number): Promise<HistoryPage> {
    const PromiseClass = promiseMaker();
    return new PromiseClass<HistoryPage>((resolve, reject) => {
      if (!this.calls) {
        reject(failure("disconnected", "there is no connection to ask for history on", true, room));
        return;
      }
      this.calls.send<HistoryPage>(
        { type: "history", room, limit },
        ({ position, publications }) => resolve({ position, publications }),
        reject,
      );
    });
  }

  private changed(event: StateEvent): void {
    if (event.state === "disconnected") {
      const reason = event.reason || "disconnect() was called";
      this.publisher.abandon(reason);
      this.requester.abandon(reason);
    }
    this.emit("state", event);
  }

  private connected(welcome: Connected, calls: Calls): void {
    this.calls = calls;
    this.rooms.resume(calls, welcome.rooms);
    // A listener may have disconnected.
    if (this.calls !== calls) return;
    this.publisher.resume(calls);
    this.requester.resume(calls);
    const { session, user, node, limits } = welcome;
    const rooms = welcome.rooms.map(({ room }) => room);
    this.emit("connected", { session, user, node, limits, rooms, transport: this.transport });
  }

  private interrupted(): void {
    this.calls = null;
    this.publisher.suspend();
    this.requester.suspend();
    this.rooms.suspend();
  }

  private pushed(message: Incoming): void {
    const push: unknown = message;
    if (message.type === "publication") this.rooms.receive(push as Publication);
    else if (message.type === "unsubscribed") this.rooms.end(push as UnsubscribedPush);
    else if (message.type === "reconnect") {
      this.connector.leaveIn((push as ReconnectPush).after_ms);
    }
    // Anything else is of a newer gateway, for newer clients.
  }
}
