/** A room as the application holds it. */

import type { Older, OlderPage } from "./archive.js";
import { Emitter } from "./emitter.js";
import type { Environment } from "./environment.js";
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
  state: { readonly state: SubscriptionState; readonly previous: SubscriptionState };
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
export class Subscription extends Emitter<SubscriptionEvents> {
  private current: SubscriptionState = "subscribing";
  private last: string | null = null;

  /** @internal */
  constructor(
    readonly room: string,
    environment: Environment,
    private readonly owner: SubscriptionOwner,
    private readonly source: { readonly position: string | null },
    /** @internal */
    readonly archive: Older,
  ) {
    super(environment);
  }

  get state(): SubscriptionState {
    return this.current;
  }

  /** Everything of the room up to here was told: opaque text for `since`; null: nothing yet. Of the
   * last publication or the last (re)connection; see `position.ts` for why pings do not move it. */
  get position(): string | null {
    return this.current === "unsubscribed" ? this.last : this.source.position;
  }

  /** As `Roomline.publish`. */
  publish(data: unknown, options?: PublishOptions): Promise<Published> {
    return this.owner.publish(this.room, data, options);
  }

  /** The latest publications of the room, at most `limit`. Not retried: rejected with a
   * `RoomlineError` while there is no connection. */
  history(limit: number): Promise<HistoryPage> {
    return this.owner.history(this.room, limit);
  }

  /** Publications from `options.archive` that are older than all that this subscription has told,
   * at most `limit`: each call goes on where the last one has ended. Retried while the archive is
   * behind or away; rejected with a `RoomlineError`. */
  older(limit: number): Promise<OlderPage> {
    return this.archive.page(limit);
  }

  /** End this subscription. */
  unsubscribe(): void {
    if (this.current !== "unsubscribed") this.owner.unsubscribe(this);
  }

  /** @internal */
  change(state: SubscriptionState): void {
    const previous = this.current;
    if (state === previous) return;
    if (state === "unsubscribed") this.last = this.source.position;
    this.current = state;
    this.emit("state", { state, previous });
  }
}
