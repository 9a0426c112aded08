/** Publishes that wait for their confirmation, across retries and reconnects. */
import type { Calls } from "./calls.js";
import type { Settings } from "./settings.js";
/** The broker has confirmed a publication. */
export interface Published {
    readonly room: string;
    readonly key: string;
}
export declare class Publisher {
    private readonly settings;
    private readonly PromiseClass;
    private pending;
    private calls;
    constructor(settings: Settings);
    /** `key`: null for a random one. `accepting`: whether a connection is there or to be expected. */
    publish(room: string, data: unknown, key: string | null, accepting: boolean): Promise<Published>;
    /** A session has begun: everything unconfirmed is sent, in the order of the calls. */
    resume(calls: Calls): void;
    /** The session is over; what is unconfirmed waits for the next one. */
    suspend(): void;
    /** No session will follow. */
    abandon(reason: string): void;
    private send;
    private fail;
    private remove;
}
