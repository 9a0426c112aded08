/** sockjs-client, reduced to what a session needs: open, send, close, and no late surprises. */
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
export interface TransportListener {
    opened(): void;
    received(text: string): void;
    /** It ended by itself, or could not begin. Never follows `Transport.close`. */
    closed(code: number, reason: string): void;
}
/** The constructor to use when `options.SockJS` is not given: the page's global. */
export declare function globalSockJS(): SockJSConstructor;
export declare class Transport {
    private readonly socket;
    /** Raises what `SockJS` raises for a URL that it does not accept. */
    constructor(SockJSClass: SockJSConstructor, url: string, options: {
        readonly [name: string]: unknown;
    }, listener: TransportListener);
    /** SockJS's name of it, or null. */
    get name(): string | null;
    send(text: string): void;
    /** Leave. The listener hears nothing more. */
    close(): void;
    private silence;
}
