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
    private readonly awaitsAccess;
    private readonly renew;
    private readonly PromiseClass;
    private pending;
    private calls;
    /** `awaitsAccess`: whether the right to publish to a room may still have to come: it comes with
     * the room's subscription where a room token grants it, or when the rights have changed. `release`
     * must be called when it has. `renew`: replace the connection's token, then call `done`, unless
     * the session ends before; false: there is nobody to ask for one. */
    constructor(settings: Settings, awaitsAccess: (room: string) => boolean, renew: (done: () => void) => boolean);
    /** `key`: null for a random one. `accepting`: whether a connection is there or to be expected. */
    publish(room: string, data: unknown, key: string | null, accepting: boolean): Promise<Published>;
    /** A session has begun: everything unconfirmed is sent, in the order of the calls. */
    resume(calls: Calls): void;
    /** The session is over; what is unconfirmed waits for the next one. */
    suspend(): void;
    /** A room's subscription stands, or has ended: what has waited for it is sent. */
    release(room: string): void;
    /** No session will follow. */
    abandon(reason: string): void;
    private send;
    /** The token that granted it counts no more: send it again when another one was taken. False: it
     * was refused with another one already, or there is none. */
    private renewFor;
    private fail;
    private remove;
}
