/**
 * Following one room through sessions that come and go: subscribe, recover, notice gaps.
 *
 *     subscribing --subscribed--> subscribed --gap, new session, log reset--> subscribing
 *          `------ permanent error ------> unsubscribed <------ ended by the gateway ---'
 *
 * The proved position only ever moves over what was handed to the sink or what the gateway has said
 * to hold nothing of this room. Publications that come while a `subscribe` is unanswered belong to
 * the subscription before it: they are ignored, as its reply brings them again.
 */
import type { Calls } from "./calls.js";
import { type RoomlineError } from "./errors.js";
import type { AutomaticRoom, Publication, UnsubscribedPush } from "./messages.js";
import type { Settings, TokenAnswer } from "./settings.js";
import type { SubscriptionState } from "./states.js";
export interface SubscribeOptions {
    /** How many of the latest publications to get when there is nothing to continue from. */
    readonly history?: number;
    /** The position to continue from. */
    readonly since?: string;
    /** A token for this room, or who gives one when the gateway wants one. */
    readonly token?: string | ((room: string) => TokenAnswer);
}
/** A subscription was established. */
export interface SubscribedEvent {
    readonly room: string;
    /** True: what was missed follows as publications, without a gap. */
    readonly recovered: boolean;
    /** Why continuity is lost; null: it is not, or there was nothing to continue. */
    readonly reason: string | null;
    /** Unless recovered: the history that was asked for. */
    readonly publications: readonly Publication[];
}
/** Who is told. */
export interface FollowerSink {
    changed(state: SubscriptionState): void;
    established(event: SubscribedEvent): void;
    publication(publication: Publication): void;
    failed(error: RoomlineError): void;
    /** Replace the connection's token, then call `done`. False: there is nobody to ask for one. */
    renew(done: () => void): boolean;
    /** Nothing follows any more; the state is `unsubscribed`, without `changed`. */
    ended(code: string, reason: string): void;
}
export declare class Follower {
    readonly room: string;
    private readonly settings;
    private readonly sink;
    state: SubscriptionState;
    /** Whether the gateway pushes this room without being asked. */
    automatic: boolean;
    private readonly chain;
    private options;
    private calls;
    /** Counts what makes answers to earlier commands void. */
    private attempt;
    /** Whether a page was answered with `more`. */
    private paging;
    /** Why there is nothing to continue from although there was; null otherwise. */
    private lost;
    private heldToken;
    /** Whether the gateway has wanted a token; until then the connection's grants may do. */
    private tokenWanted;
    /** Whether what the connection's token says of this room counts no more. */
    private outdated;
    private stopAsking;
    private readonly backoff;
    private readonly retryTimer;
    constructor(room: string, settings: Settings, sink: FollowerSink);
    /** Up to where everything was told; null: nothing yet. */
    get position(): string | null;
    /** The position of the room's last publication; null: it has none in the retained log;
     * undefined: not known. */
    get head(): string | null | undefined;
    /** Whether the right to publish may still have to come: with the room token, or with the new
     * connection token that changed rights make necessary. */
    get awaitsAccess(): boolean;
    /** What the application wants of this room. A room that is followed already is subscribed to
     * once more: with history or from a position if that is asked for, else continued. */
    want(options: SubscribeOptions, calls: Calls | null): void;
    /** The application wants nothing of this room any more, but it is an automatic one. */
    release(): void;
    /** A session has begun; `automatic`: what it says of this room if it is an automatic one. */
    resume(calls: Calls, automatic: AutomaticRoom | null): void;
    /** Whether it follows within this session already. */
    following(calls: Calls): boolean;
    /** The session is over. */
    suspend(): void;
    /** Follow no longer. */
    close(): void;
    /** A publication was pushed. */
    receive(publication: Publication): void;
    /** Pushes may have been lost, of whatever room: get them. From where a ping has moved, if it
     * did: a quiet room's proved position may be one that no gateway can check any more. */
    recover(): void;
    /** The log reaches to `position`, and everything of it up to there has arrived. */
    advance(position: string): void;
    /** The gateway ended the subscription. */
    ended(push: UnsubscribedPush): void;
    /** Whether pushes count: subscribed, and every page has come. */
    private get live();
    /** Whether an automatic room needs no `subscribe`: nothing was missed, or nothing is wanted. */
    private isToldBy;
    /** No token from before counts any more; one that is made now may. All who follow the room are
     * told at once, so each waits a little before asking. */
    private comeBack;
    private pause;
    private subscribe;
    /** Ask for what follows the position, or for the history if there is none. */
    private requestPage;
    private takePage;
    private refused;
    private fail;
    private retry;
    private end;
    private establish;
    private tell;
    private change;
}
