/** A room as the application holds it. */
import type { OlderPage } from "./archive.js";
import { Emitter } from "./emitter.js";
import type { RoomlineError } from "./errors.js";
import type { SubscribedEvent } from "./follower.js";
import type { HistoryPage, Publication } from "./messages.js";
import type { Published } from "./publisher.js";
import type { SubscriptionState } from "./states.js";
/** A subscription has ended. */
export interface UnsubscribedEvent {
    readonly room: string;
    /** `"left"` after `unsubscribe()`, else the gateway's. */
    readonly code: string;
    readonly reason: string;
}
export interface SubscriptionEvents {
    subscribed: SubscribedEvent;
    publication: Publication;
    unsubscribed: UnsubscribedEvent;
    error: RoomlineError;
    state: {
        readonly state: SubscriptionState;
        readonly previous: SubscriptionState;
    };
}
/** What a subscription asks of its client. */
export interface SubscriptionOwner {
    publish(room: string, data: unknown, options?: PublishOptions): Promise<Published>;
    history(room: string, limit: number): Promise<HistoryPage>;
    unsubscribe(subscription: Subscription): void;
}
export interface PublishOptions {
    /** 1 to 128 characters. Two publishes with the same key count once. Default: random. */
    readonly key?: string;
}
/** Made by `Roomline.subscribe`. Once unsubscribed it stays so. */
export declare class Subscription extends Emitter<SubscriptionEvents> {
    readonly room: string;
    private readonly owner;
    private readonly source;
    private current;
    private last;
    get state(): SubscriptionState;
    /** Everything of the room up to here was told: opaque text for `since`; null: nothing yet. Of the
     * last publication or the last (re)connection; see `position.ts` for why pings do not move it. */
    get position(): string | null;
    /** As `Roomline.publish`. */
    publish(data: unknown, options?: PublishOptions): Promise<Published>;
    /** The latest publications of the room, at most `limit`. Not retried: rejected with a
     * `RoomlineError` while there is no connection. */
    history(limit: number): Promise<HistoryPage>;
    /** Publications from `options.archive` that are older than all that this subscription has told,
     * at most `limit`: each call goes on where the last one has ended. Retried while the archive is
     * behind or away; rejected with a `RoomlineError`. */
    older(limit: number): Promise<OlderPage>;
    /** End this subscription. */
    unsubscribe(): void;
}
