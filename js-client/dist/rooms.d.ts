/** All rooms that are followed, and which of them the application has subscribed to. */
import type { Calls } from "./calls.js";
import type { RoomlineError } from "./errors.js";
import { type SubscribedEvent, type SubscribeOptions } from "./follower.js";
import type { AutomaticRoom, Publication, UnsubscribedPush } from "./messages.js";
import type { Settings } from "./settings.js";
import { Subscription, type SubscriptionOwner, type UnsubscribedEvent } from "./subscription.js";
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
export declare class Rooms {
    private readonly settings;
    private readonly owner;
    private readonly followed;
    /** Rooms whose latest command is an `unsubscribe` that is unanswered; each has its own mark. */
    private readonly leaving;
    private readonly subscriptionOwner;
    private calls;
    constructor(settings: Settings, owner: RoomsOwner);
    subscribe(room: string, options: SubscribeOptions): Subscription;
    subscription(room: string): Subscription | null;
    /** Whether the right to publish to this room may still have to come, with its subscription. */
    awaitsAccess(room: string): boolean;
    /** A session has begun, with these automatic rooms. */
    resume(calls: Calls, automatic: readonly AutomaticRoom[]): void;
    /** There is no session. */
    suspend(): void;
    /** A publication was pushed. */
    receive(publication: Publication): void;
    /** The gateway ended a subscription. */
    end(push: UnsubscribedPush): void;
    /** The log reaches to `position`; `complete`: and every push so far has arrived. */
    sounded(position: string, complete: boolean): void;
    private follow;
    private unsubscribe;
    /** Tell the gateway that a room is not wanted. */
    private leave;
    private tellUnsubscribed;
}
