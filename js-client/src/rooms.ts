/** All rooms that are followed, and which of them the application has subscribed to. */

import { Older } from "./archive.js";
import type { Calls } from "./calls.js";
import type { RoomlineError } from "./errors.js";
import { Follower, type SubscribedEvent, type SubscribeOptions } from "./follower.js";
import type { AutomaticRoom, Publication, UnsubscribedPush } from "./messages.js";
import type { Settings } from "./settings.js";
import { Subscription, type SubscriptionOwner, type UnsubscribedEvent } from "./subscription.js";
import { Table } from "./table.js";

/** What rooms tell, each also to its subscription. */
export interface RoomEvents {
  subscribed: SubscribedEvent;
  publication: Publication;
  unsubscribed: UnsubscribedEvent;
  error: RoomlineError;
}

/** The client, as its rooms need it. */
export interface RoomsOwner extends Pick<SubscriptionOwner, "publish" | "history"> {
  tell<Name extends keyof RoomEvents>(name: Name, event: RoomEvents[Name]): void;
  /** `awaitsAccess` is over for this room. Told before the application is. */
  opened(room: string): void;
  renew(done: () => void): boolean;
}

interface Followed {
  readonly follower: Follower;
  /** Null: an automatic room that the application has not subscribed to. */
  subscription: Subscription | null;
}

export class Rooms {
  private readonly followed = new Table<Followed>();
  /** Rooms whose latest command is an `unsubscribe` that is unanswered; each has its own mark. */
  private readonly leaving = new Table<object>();
  private readonly subscriptionOwner: SubscriptionOwner;
  private calls: Calls | null = null;

  constructor(
    private readonly settings: Settings,
    private readonly owner: RoomsOwner,
  ) {
    this.subscriptionOwner = {
      publish: owner.publish,
      history: owner.history,
      unsubscribe: (subscription) => this.unsubscribe(subscription),
    };
  }

  subscribe(room: string, options: SubscribeOptions): Subscription {
    if (typeof room !== "string" || !room) throw new TypeError("room must be a name, not empty");
    const entry = this.followed.get(room) || this.follow(room);
    if (entry.subscription) {
      throw new Error(`room ${room} is subscribed to already, client.subscription(room) has it`);
    }
    const { follower } = entry;
    const { environment } = this.settings;
    const older = new Older(room, this.settings, follower);
    const subscription = new Subscription(
      room,
      environment,
      this.subscriptionOwner,
      follower,
      older,
    );
    entry.subscription = subscription;
    this.leaving.remove(room);
    follower.want(options, this.calls);
    return subscription;
  }

  subscription(room: string): Subscription | null {
    const entry = this.followed.get(room);
    return entry ? entry.subscription : null;
  }

  /** Whether the right to publish to this room may still have to come, with its subscription. */
  awaitsAccess(room: string): boolean {
    const entry = this.followed.get(room);
    return entry !== undefined && entry.follower.awaitsAccess;
  }

  /** A session has begun, with these automatic rooms. */
  resume(calls: Calls, automatic: readonly AutomaticRoom[]): void {
    this.calls = calls;
    const listed = new Table<AutomaticRoom>();
    for (const entry of automatic) {
      listed.set(entry.room, entry);
      if (!this.followed.get(entry.room)) this.follow(entry.room);
    }
    for (const entry of this.followed.values()) {
      const { follower, subscription } = entry;
      const { room } = follower;
      // Listeners that are called in this loop may subscribe, unsubscribe, or disconnect.
      if (this.calls !== calls) return;
      if (this.followed.get(room) !== entry || follower.following(calls)) continue;
      const told = listed.get(room) || null;
      if (told || subscription) follower.resume(calls, told);
      else this.followed.remove(room);
    }
  }

  /** There is no session. */
  suspend(): void {
    this.calls = null;
    this.leaving.clear();
    for (const { follower } of this.followed.values()) follower.suspend();
  }

  /** A publication was pushed. */
  receive(publication: Publication): void {
    const entry = this.followed.get(publication.room);
    if (entry) entry.follower.receive(publication);
    else this.leave(publication.room);
  }

  /** The gateway ended a subscription. */
  end(push: UnsubscribedPush): void {
    const entry = this.followed.get(push.room);
    if (entry) entry.follower.ended(push);
  }

  /** The log reaches to `position`; `complete`: and every push so far has arrived. */
  sounded(position: string, complete: boolean): void {
    for (const { follower } of this.followed.values()) {
      if (complete) follower.advance(position);
      else follower.recover();
    }
  }

  private follow(room: string): Followed {
    const tell = <Name extends "subscribed" | "publication" | "error">(
      name: Name,
      event: RoomEvents[Name],
    ) => {
      const { subscription } = entry;
      if (subscription) subscription.emit<keyof RoomEvents>(name, event);
      this.owner.tell(name, event);
    };
    const follower = new Follower(room, this.settings, {
      changed: (state) => {
        if (state === "subscribed") this.owner.opened(room);
        if (entry.subscription) entry.subscription.change(state);
      },
      established: (event) => {
        const { subscription } = entry;
        if (subscription && !event.recovered) subscription.archive.restart(event.publications);
        tell("subscribed", event);
      },
      publication: (publication) => {
        if (entry.subscription) entry.subscription.archive.told(publication);
        tell("publication", publication);
      },
      failed: (error) => tell("error", error),
      renew: (done) => this.owner.renew(done),
      ended: (code, reason) => {
        const { subscription } = entry;
        this.followed.remove(room);
        entry.subscription = null;
        this.owner.opened(room);
        this.tellUnsubscribed(subscription, { room, code, reason });
      },
    });
    const entry: Followed = { follower, subscription: null };
    this.followed.set(room, entry);
    return entry;
  }

  private unsubscribe(subscription: Subscription): void {
    const { room } = subscription;
    const entry = this.followed.get(room)!;
    entry.subscription = null;
    if (entry.follower.automatic) {
      // The gateway pushes it whatever the application wants, and the client's events tell it.
      entry.follower.release();
    } else {
      entry.follower.close();
      this.followed.remove(room);
      this.leave(room);
    }
    this.owner.opened(room);
    this.tellUnsubscribed(subscription, { room, code: "left", reason: "unsubscribe() was called" });
  }

  /** Tell the gateway that a room is not wanted. */
  private leave(room: string): void {
    if (!this.calls || this.leaving.get(room)) return;
    const mark = {};
    this.leaving.set(room, mark);
    // If it fails, the next publication of the room brings us here again.
    const answered = () => {
      if (this.leaving.get(room) === mark) this.leaving.remove(room);
    };
    this.calls.send({ type: "unsubscribe", room }, answered, answered);
  }

  private tellUnsubscribed(subscription: Subscription | null, event: UnsubscribedEvent): void {
    if (subscription) {
      subscription.change("unsubscribed");
      subscription.emit("unsubscribed", event);
    }
    this.owner.tell("unsubscribed", event);
  }
}
