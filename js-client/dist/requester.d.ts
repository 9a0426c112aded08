/** Requests that wait for their answers: each is sent once, over the connection of the moment. */
import type { Calls } from "./calls.js";
import type { Settings } from "./settings.js";
export interface RequestOptions {
    /** Milliseconds until the answer, 100 to 60000. Default: `timeouts.request`. */
    readonly timeout?: number;
}
export declare class Requester {
    private readonly settings;
    private readonly PromiseClass;
    /** What waits for a connection. */
    private unsent;
    private underway;
    private calls;
    constructor(settings: Settings);
    /** `accepting`: whether a connection is there or to be expected. */
    request(name: string, data: unknown, options: RequestOptions, accepting: boolean): Promise<unknown>;
    /** A session has begun: what has waited for it is sent, in the order of the calls. */
    resume(calls: Calls): void;
    /** The session is over. What was sent has failed with it: nothing is sent twice. */
    suspend(): void;
    /** No session will follow. */
    abandon(reason: string): void;
    private send;
}
