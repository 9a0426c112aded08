/** The one error that the client reports and rejects with. */
/** An `Error` with a code to act on. */
export interface RoomlineError extends Error {
    readonly name: "RoomlineError";
    /** One of the gateway's `ERRORS`, one of the client's own, or the number of a close frame. */
    readonly code: string | number;
    /** Whether the same may succeed later. */
    readonly temporary: boolean;
    /** The room it is about, or null. */
    room: string | null;
    /** Of a publish: repeat it with this key and it counts once. Else null. */
    key: string | null;
    /** Of a request, or a publish that was moderated: the handler's own code for why it refuses,
     * if it gave one. Else null. */
    refusal: string | null;
}
/** Whether the gateway refuses a token that was good once: another one may be good now. */
export declare function isOutdated(error: RoomlineError): boolean;
/** A real `Error`, so that it has a stack; not a subclass, which ES5 cannot make properly. */
export declare function failure(code: string | number, message: string, temporary: boolean, room?: string | null): RoomlineError;
