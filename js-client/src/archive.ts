/**
 * What is older than a gateway's history: pages of an archive, joined to what was told.
 *
 * Each page ends right before the oldest publication that the application has, so that nothing is
 * missing in between and nothing comes twice. The archive follows the log and may be a moment
 * behind: until it has that publication itself, it is asked again.
 */

import { Backoff } from "./backoff.js";
import { failure, type RoomlineError } from "./errors.js";
import type { Publication } from "./messages.js";
import { promiseMaker } from "./promise.js";
import type { Settings } from "./settings.js";
import { Timer } from "./timer.js";

/** Which publications are wanted: the latest `limit` of those before a position, or up to one. */
export interface ArchiveQuery {
  readonly limit: number;
  readonly before?: string;
  readonly until?: string;
}

export interface ArchivePage {
  /** Like those that a gateway pushes, the oldest first. */
  readonly publications: readonly Publication[];
  /** Whether there are older ones. */
  readonly more: boolean;
  /** Whether the archive has come to the position, so that nothing is missing behind it. */
  readonly complete: boolean;
}

/** Asks an archive. An error whose `temporary` is false means that asking again is no use. */
export type ArchiveSource = (room: string, query: ArchiveQuery) => PromiseLike<ArchivePage>;

export interface OlderPage {
  /** The oldest first. None: there is nothing older. */
  readonly publications: readonly Publication[];
  readonly more: boolean;
}

const WAIT = { base: 250, cap: 4000 };

/** One subscription's way back. */
export class Older {
  /** The position of the oldest publication that was told; null: none was. */
  private oldest: string | null = null;
  /** Counts how often what was told became void. */
  private restarts = 0;
  private queue: PromiseLike<unknown> | null = null;

  /** `follower`: where the room stands while nothing was told. */
  constructor(
    private readonly room: string,
    private readonly settings: Settings,
    private readonly follower: {
      readonly head: string | null | undefined;
      readonly position: string | null;
    },
  ) {}

  /** A publication is told. */
  told(publication: Publication): void {
    if (this.oldest === null) this.oldest = publication.position;
  }

  /** What was told before is void, and these are told. */
  restart(publications: readonly Publication[]): void {
    const first = publications[0];
    this.oldest = first ? first.position : null;
    this.restarts += 1;
  }

  /** The next page, after those that were asked for before. */
  page(limit: number): Promise<OlderPage> {
    const PromiseClass = promiseMaker();
    const page = new PromiseClass<OlderPage>((resolve, reject) => {
      const begin = () => this.fetch(limit, resolve, reject);
      if (this.queue) this.queue.then(begin, begin);
      else begin();
    });
    this.queue = page;
    return page;
  }

  private fetch(
    limit: number,
    resolve: (page: OlderPage) => void,
    reject: (error: unknown) => void,
  ): void {
    const { archive, environment, timeouts } = this.settings;
    if (!archive) {
      reject(new TypeError("options.archive must name the archive that older pages come from"));
      return;
    }
    let trouble: RoomlineError = failure(
      "archive_behind",
      `the archive has not come to this room's publications within ${timeouts.archive} ms`,
      true,
      this.room,
    );
    let over = false;
    const end = (action: () => void) => {
      if (over) return;
      over = true;
      deadline.stop();
      again.stop();
      action();
    };
    const backoff = new Backoff(environment.random, WAIT);
    const deadline = new Timer(environment, () => end(() => reject(trouble)));
    const again = new Timer(environment, () => ask());
    const failed = (error: unknown) => {
      const { temporary } = (error || {}) as { temporary?: unknown };
      if (temporary === false) end(() => reject(error));
      else {
        if (error) trouble = error as RoomlineError;
        if (!over) again.start(backoff.next());
      }
    };
    const ask = () => {
      const { restarts } = this;
      const query = this.query(limit);
      if (!query) {
        const reason = "nothing is known of the room yet: wait until it is subscribed";
        end(() => reject(failure("disconnected", reason, true, this.room)));
        return;
      }
      const take = (page: ArchivePage) => {
        if (over) return;
        if (restarts !== this.restarts) ask();
        else if (!page.complete) again.start(backoff.next());
        else {
          const { publications, more } = page;
          if (publications[0]) this.oldest = publications[0].position;
          end(() => resolve({ publications, more }));
        }
      };
      let answer: PromiseLike<ArchivePage>;
      try {
        answer = archive(this.room, query);
      } catch (error) {
        failed(error);
        return;
      }
      answer.then(take, failed);
    };
    deadline.start(timeouts.archive);
    ask();
  }

  /** What is older than all that was told; null: that is not known yet. */
  private query(limit: number): ArchiveQuery | null {
    if (this.oldest !== null) return { limit, before: this.oldest };
    // A room that has nothing in the log may get something at any moment, and the archive may have
    // it before we are told of it: so this one has an end, too.
    const { head, position } = this.follower;
    const until = typeof head === "string" ? head : position;
    return until === null ? null : { limit, until };
  }
}

interface Request {
  readonly readyState: number;
  readonly status: number;
  readonly responseText: string;
  onreadystatechange: (() => void) | null;
  open(method: string, url: string): void;
  send(): void;
}
declare const XMLHttpRequest: { new (): Request };

/** The archive behind a URL, to which the room's name is appended: Django's archive view. */
export function archiveAt(url: string): ArchiveSource {
  return (room, query) => {
    const PromiseClass = promiseMaker();
    return new PromiseClass<ArchivePage>((resolve, reject) => {
      const request = new XMLHttpRequest();
      request.onreadystatechange = () => {
        if (request.readyState !== 4) return;
        const answer = parsed(request.responseText);
        if (request.status === 200 && answer) {
          resolve(answer as ArchivePage);
          return;
        }
        const { code = "archive_failed", reason = `the archive answered ${request.status}` } =
          (answer || {}) as { code?: string; reason?: string };
        const temporary = request.status === 0 || request.status >= 500;
        reject(failure(code, reason, temporary, room));
      };
      let address = `${url}${encodeURIComponent(room)}?limit=${query.limit}`;
      if (query.before !== undefined) address += `&before=${encodeURIComponent(query.before)}`;
      if (query.until !== undefined) address += `&until=${encodeURIComponent(query.until)}`;
      request.open("GET", address);
      request.send();
    });
  };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    return null;
  }
}
