/** sockjs-client, reduced to what a session needs: open, send, close, which transports it tried, and
 * no late surprises. */
import { type Trial } from "./fallback.js";
/** What is used of a `sockjs-client` object. */
export interface SockJSLike {
    onopen: ((event: any) => void) | null;
    onmessage: ((event: any) => void) | null;
    onclose: ((event: any) => void) | null;
    /** SockJS's name of the transport, once it is open. */
    readonly transport?: string | null;
    send(text: string): void;
    close(code?: number, reason?: string): void;
}
export type SockJSConstructor = new (url: string, protocols?: any, options?: any) => SockJSLike;
/** Options for SockJS. */
export type SockJSOptions = {
    readonly [name: string]: unknown;
};
export interface TransportListener {
    opened(): void;
    received(text: string): void;
    /** It ended by itself, or could not begin. Never follows `Transport.close`. */
    closed(code: number, reason: string): void;
}
/** The constructor to use when `options.SockJS` is not given: the page's global. */
export declare function globalSockJS(): SockJSConstructor;
export declare class Transport {
    private readonly now;
    /** SockJS's name of it once it is open, and from then on; null: none. SockJS forgets it when it
     * closes. */
    name: string | null;
    private readonly socket;
    /** What SockJS has begun to try, and when. */
    private readonly begun;
    /** Whether the last one of them has opened; else it has failed when SockJS closes. */
    private open;
    private openedAt;
    private closedAt;
    /** `only`: the transports that SockJS may use, null: what it likes. Raises what `SockJS` raises
     * for a URL that it does not accept. */
    constructor(SockJSClass: SockJSConstructor, url: string, options: SockJSOptions, only: readonly string[] | null, now: () => number, listener: TransportListener);
    /** What SockJS has tried in vain, in that order. */
    get tried(): Trial[];
    /** Milliseconds that the one that is open took for that. */
    get opening(): number;
    send(text: string): void;
    /** Leave. The listener hears nothing more. */
    close(): void;
    /** The options of each transport. SockJS looks them up when it begins to try that transport,
     * which is how one learns that it does. */
    private watched;
    private silence;
}
