/**
 * What is older than a gateway's history: pages of an archive, joined to what was told.
 *
 * Each page ends right before the oldest publication that the application has, so that nothing is
 * missing in between and nothing comes twice. The archive follows the log and may be a moment
 * behind: until it has that publication itself, it is asked again.
 */
import type { Publication } from "./messages.js";
import type { Settings } from "./settings.js";
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
/** One subscription's way back. */
export declare class Older {
    private readonly room;
    private readonly settings;
    private readonly follower;
    /** The position of the oldest publication that was told; null: none was. */
    private oldest;
    /** Counts how often what was told became void. */
    private restarts;
    private queue;
    /** `follower`: where the room stands while nothing was told. */
    constructor(room: string, settings: Settings, follower: {
        readonly head: string | null | undefined;
        readonly position: string | null;
    });
    /** A publication is told. */
    told(publication: Publication): void;
    /** What was told before is void, and these are told. */
    restart(publications: readonly Publication[]): void;
    /** The next page, after those that were asked for before. */
    page(limit: number): Promise<OlderPage>;
    private fetch;
    /** What is older than all that was told; null: that is not known yet. */
    private query;
}
/** The archive behind a URL, to which the room's name is appended: Django's archive view. */
export declare function archiveAt(url: string): ArchiveSource;
