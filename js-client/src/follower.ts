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

import { Backoff } from "./backoff.js";
import type { Calls } from "./calls.js";
import { isOutdated, type RoomlineError } from "./errors.js";
import type {
  AutomaticRoom,
  Command,
  Publication,
  Subscribed,
  UnsubscribedPush,
} from "./messages.js";
import { Chain } from "./position.js";
import type { Settings, TokenAnswer } from "./settings.js";
import type { SubscriptionState } from "./states.js";
import { Timer } from "./timer.js";
import { askForToken } from "./tokens.js";

/** Why a room token may be refused although another one would do. */
const STALE_TOKEN = ["token_expired", "token_revoked", "token_invalid", "room_token_required"];

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

export class Follower {
  state: SubscriptionState = "subscribing";
  /** Whether the gateway pushes this room without being asked. */
  automatic = false;
  private readonly chain = new Chain();
  private options: SubscribeOptions = {};
  private calls: Calls | null = null;
  /** Counts what makes answers to earlier commands void. */
  private attempt = 0;
  /** Whether a page was answered with `more`. */
  private paging = false;
  /** Why there is nothing to continue from although there was; null otherwise. */
  private lost: string | null = null;
  private heldToken: string | null = null;
  /** Whether the gateway has wanted a token; until then the connection's grants may do. */
  private tokenWanted = false;
  /** Whether what the connection's token says of this room counts no more. */
  private outdated = false;
  private stopAsking: () => void = () => undefined;
  private readonly backoff: Backoff;
  private readonly retryTimer: Timer;

  constructor(
    readonly room: string,
    private readonly settings: Settings,
    private readonly sink: FollowerSink,
  ) {
    this.backoff = new Backoff(settings.environment.random, settings.backoff);
    this.retryTimer = new Timer(settings.environment, () => this.subscribe());
  }

  /** Up to where everything was told; null: nothing yet. */
  get position(): string | null {
    return this.chain.proved;
  }

  /** The position of the room's last publication; null: it has none in the retained log;
   * undefined: not known. */
  get head(): string | null | undefined {
    return this.chain.head;
  }

  /** Whether the right to publish may still have to come: with the room token, or with the new
   * connection token that changed rights make necessary. */
  get awaitsAccess(): boolean {
    return this.state === "subscribing" && (this.options.token !== undefined || this.outdated);
  }

  /** What the application wants of this room. A room that is followed already is subscribed to
   * once more: with history or from a position if that is asked for, else continued. */
  want(options: SubscribeOptions, calls: Calls | null): void {
    this.calls = calls;
    this.options = options;
    this.heldToken = typeof options.token === "string" ? options.token : null;
    this.tokenWanted = false;
    if (options.since !== undefined) this.chain.settle(options.since, undefined);
    else if (options.history) this.chain.forget();
    if (calls) this.subscribe();
  }

  /** The application wants nothing of this room any more, but it is an automatic one. */
  release(): void {
    this.options = {};
    this.heldToken = null;
  }

  /** A session has begun; `automatic`: what it says of this room if it is an automatic one. */
  resume(calls: Calls, automatic: AutomaticRoom | null): void {
    this.calls = calls;
    this.outdated = false;
    this.automatic = automatic !== null;
    if (automatic && this.isToldBy(automatic)) {
      const recovered = this.chain.position !== null;
      this.chain.settle(automatic.position, automatic.head);
      this.establish(recovered, null, []);
    } else {
      this.subscribe();
    }
  }

  /** Whether it follows within this session already. */
  following(calls: Calls): boolean {
    return this.calls === calls;
  }

  /** The session is over. */
  suspend(): void {
    this.calls = null;
    this.pause();
    this.change("subscribing");
  }

  /** Follow no longer. */
  close(): void {
    this.calls = null;
    this.pause();
    this.state = "unsubscribed";
  }

  /** A publication was pushed. */
  receive(publication: Publication): void {
    if (!this.live || this.chain.repeats(publication)) return;
    if (this.chain.continuesWith(publication)) this.tell(publication);
    else {
      this.chain.retreat();
      this.subscribe();
    }
  }

  /** Pushes may have been lost, of whatever room: get them. From where a ping has moved, if it
   * did: a quiet room's proved position may be one that no gateway can check any more. */
  recover(): void {
    if (this.live) this.subscribe();
  }

  /** The log reaches to `position`, and everything of it up to there has arrived. */
  advance(position: string): void {
    if (this.live) this.chain.advance(position);
  }

  /** The gateway ended the subscription. */
  ended(push: UnsubscribedPush): void {
    // Unless live, an unanswered `subscribe` will tell how things stand.
    if (!this.live) return;
    if (push.code === "log_reset") {
      this.chain.forget();
      this.lost = push.code;
      this.subscribe();
    } else if (push.code === "rights_changed") {
      this.comeBack();
    } else if (
      // Neither the connection's grants nor the last token do any more; another token may.
      (push.code === "token_expired" || push.code === "forbidden") &&
      typeof this.options.token === "function"
    ) {
      this.heldToken = null;
      this.tokenWanted = true;
      this.subscribe();
    } else {
      this.end(push.code, push.reason);
    }
  }

  /** Whether pushes count: subscribed, and every page has come. */
  private get live(): boolean {
    return this.state === "subscribed" && !this.paging;
  }

  /** Whether an automatic room needs no `subscribe`: nothing was missed, or nothing is wanted. */
  private isToldBy(automatic: AutomaticRoom): boolean {
    if (this.chain.position !== null) return this.chain.endsWith(automatic.head);
    return !this.options.history && this.lost === null;
  }

  /** No token from before counts any more; one that is made now may. All who follow the room are
   * told at once, so each waits a little before asking. */
  private comeBack(): void {
    this.pause();
    this.heldToken = null;
    this.tokenWanted = this.outdated = true;
    this.retryTimer.start(this.backoff.next());
    this.change("subscribing");
  }

  private pause(): void {
    this.attempt += 1;
    this.paging = false;
    this.stopAsking();
    this.retryTimer.stop();
  }

  private subscribe(): void {
    this.pause();
    const attempt = this.attempt;
    this.change("subscribing");
    // A listener may have unsubscribed or disconnected.
    if (attempt !== this.attempt) return;
    const { token } = this.options;
    if (typeof token !== "function") {
      const renewed = () => {
        if (attempt !== this.attempt) return;
        this.outdated = false;
        this.requestPage(true);
      };
      // There may be nobody to ask for another token: then this one has the last word.
      if (!this.outdated || !this.sink.renew(renewed)) this.requestPage(this.outdated);
      return;
    }
    if (!this.tokenWanted || this.heldToken !== null) {
      this.requestPage(false);
      return;
    }
    this.stopAsking = askForToken(
      this.settings.environment,
      this.settings.timeouts.reply,
      () => token(this.room),
      (given) => {
        // The callback itself may have unsubscribed or disconnected.
        if (attempt !== this.attempt) return;
        this.heldToken = given;
        this.requestPage(true);
      },
      (error) => {
        if (attempt !== this.attempt) return;
        error.room = this.room;
        if (error.temporary) this.retry(error);
        else this.fail(error);
      },
    );
  }

  /** Ask for what follows the position, or for the history if there is none. */
  private requestPage(tokenIsFresh: boolean): void {
    const attempt = this.attempt;
    const calls = this.calls!;
    const command: Extract<Command, { type: "subscribe" }> = { type: "subscribe", room: this.room };
    if (this.chain.position !== null) command.since = this.chain.position;
    if (this.options.history) command.history = this.options.history;
    if (this.heldToken !== null) command.token = this.heldToken;
    // After the session's end an error says nothing about the room: `suspend` follows.
    const counts = () => attempt === this.attempt && calls.open;
    calls.send<Subscribed>(
      command,
      (reply) => {
        if (counts()) this.takePage(reply, attempt);
      },
      (error) => {
        if (counts()) this.refused(error, tokenIsFresh);
      },
    );
  }

  private takePage(reply: Subscribed, attempt: number): void {
    const { publications } = reply;
    const more = reply.more === true;
    const first = !this.paging;
    this.backoff.reset();
    if (first && reply.recovered === true && !this.chain.joins(reply)) {
      this.chain.retreat();
      this.requestPage(false);
      return;
    }
    this.paging = more;
    if (reply.recovered !== true) {
      const last = publications[publications.length - 1];
      this.chain.settle(reply.position, more ? last && last.position : reply.head);
      this.establish(false, reply.reason || this.lost, publications);
    } else {
      if (first) this.establish(true, null, []);
      for (const publication of publications) {
        if (attempt !== this.attempt) return;
        if (!this.chain.repeats(publication)) this.tell(publication);
      }
      if (attempt !== this.attempt) return;
      // The head is told on the last page only; until then it is what was taken last.
      if (more) this.chain.settle(reply.position, this.chain.head);
      else this.chain.settle(reply.position, reply.head);
    }
    if (attempt === this.attempt && more) this.requestPage(false);
  }

  private refused(error: RoomlineError, tokenIsFresh: boolean): void {
    const stale = STALE_TOKEN.indexOf(String(error.code)) >= 0;
    const renewable = stale && typeof this.options.token === "function";
    if (renewable) {
      this.heldToken = null;
      this.tokenWanted = true;
    }
    // What the connection's token says of the room counts no more, and no push has told us.
    const ofConnection = error.code === "token_revoked" && !this.heldToken && !renewable;
    if (ofConnection) this.outdated = true;
    if ((renewable || ofConnection) && !tokenIsFresh) this.subscribe();
    else if (error.temporary || (renewable && isOutdated(error))) this.retry(error);
    else this.fail(error);
  }

  private fail(error: RoomlineError): void {
    const attempt = this.attempt;
    this.sink.failed(error);
    if (attempt === this.attempt) this.end(String(error.code), error.message);
  }

  private retry(error: RoomlineError): void {
    this.paging = false;
    this.change("subscribing");
    this.retryTimer.start(this.backoff.next());
    this.sink.failed(error);
  }

  private end(code: string, reason: string): void {
    this.close();
    this.sink.ended(code, reason);
  }

  private establish(
    recovered: boolean,
    reason: string | null,
    publications: readonly Publication[],
  ): void {
    const attempt = this.attempt;
    this.lost = null;
    this.change("subscribed");
    if (attempt !== this.attempt) return;
    this.sink.established({ room: this.room, recovered, reason, publications });
  }

  private tell(publication: Publication): void {
    this.chain.take(publication);
    this.sink.publication(publication);
  }

  private change(state: SubscriptionState): void {
    if (state === this.state) return;
    this.state = state;
    this.sink.changed(state);
  }
}
