/** The gateway's codes, one table each. Generated from tests/golden/codes.json: do not edit. */
/** An `error` reply: whether trying again later can help, and the meaning. */
export interface ErrorEntry {
    readonly temporary: boolean;
    readonly meaning: string;
}
/** A close that the gateway decided: whether to come back, and the meaning. */
export interface DisconnectEntry {
    readonly reason: string;
    readonly reconnect: boolean;
    readonly meaning: string;
}
/** Codes of `error` replies. */
export declare const ERRORS: {
    readonly [code: string]: ErrorEntry;
};
/** Close codes. */
export declare const DISCONNECTS: {
    readonly [code: number]: DisconnectEntry;
};
/** Codes of `unsubscribed` pushes. */
export declare const UNSUBSCRIBED: {
    readonly [code: string]: string;
};
/** Reasons of `recovered: false`. */
export declare const UNRECOVERABLE: {
    readonly [reason: string]: string;
};
