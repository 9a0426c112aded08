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
export const ERRORS: { readonly [code: string]: ErrorEntry } = {
  bad_request: { temporary: false, meaning: "the message is not a well-formed command" },
  unknown_command: { temporary: false, meaning: "no command has this type" },
  unsupported: { temporary: false, meaning: "the command exists but this gateway does not offer it" },
  bad_version: { temporary: false, meaning: "the protocol version is not spoken here" },
  not_connected: { temporary: false, meaning: "the first command must be connect" },
  already_connected: { temporary: false, meaning: "this session has connected before" },
  token_required: { temporary: false, meaning: "anonymous clients are not accepted" },
  token_invalid: { temporary: false, meaning: "the token is forged, malformed or not for us" },
  token_expired: { temporary: false, meaning: "the token is past its expiry: get a new one" },
  token_revoked: { temporary: false, meaning: "the token was revoked: get a new one" },
  room_invalid: { temporary: false, meaning: "not a well-formed room name" },
  room_unknown: { temporary: false, meaning: "the room's namespace is not configured" },
  room_token_required: { temporary: false, meaning: "the room wants a token of its own" },
  forbidden: { temporary: false, meaning: "the rules do not let this client do that" },
  not_subscribed: { temporary: false, meaning: "the session is not subscribed to the room" },
  too_large: { temporary: false, meaning: "a value exceeds its size limit" },
  limit_reached: { temporary: false, meaning: "the session holds as many as it may" },
  rate_limited: { temporary: true, meaning: "too many commands: slow down" },
  catching_up: { temporary: true, meaning: "this node has not read the log that far yet" },
  unavailable: { temporary: true, meaning: "the broker cannot be reached: try again, publish with the same key" },
  rejected: { temporary: false, meaning: "the broker, or who moderates the room, refuses this publication" },
  request_unknown: { temporary: false, meaning: "no handler has this name" },
  request_failed: { temporary: false, meaning: "the handler refuses, or has failed" },
  request_timeout: { temporary: true, meaning: "no answer came: the request may or may not have been carried out" },
};

/** Close codes. */
export const DISCONNECTS: { readonly [code: number]: DisconnectEntry } = {
  3001: { reason: "draining", reconnect: true, meaning: "the node is leaving: connect to another" },
  3002: { reason: "slow", reconnect: true, meaning: "the client did not read: its outbox was full" },
  3003: { reason: "connect timeout", reconnect: true, meaning: "no connect command was accepted in time" },
  3004: { reason: "token expired", reconnect: true, meaning: "the connection token expired: come with a new one" },
  3005: { reason: "revoked", reconnect: true, meaning: "the user's tokens were revoked: come with a new one" },
  3500: { reason: "bad protocol", reconnect: false, meaning: "too many malformed messages" },
  3501: { reason: "message too long", reconnect: false, meaning: "a message exceeded the size limit" },
  3502: { reason: "flood", reconnect: false, meaning: "commands kept coming far above the rate limit" },
  3503: { reason: "removed", reconnect: false, meaning: "an operator has ended this session" },
};

/** Codes of `unsubscribed` pushes. */
export const UNSUBSCRIBED: { readonly [code: string]: string } = {
  token_expired: "the room token expired: subscribe with a new one",
  log_reset: "the log was replaced: subscribe anew, without a position",
  rights_changed: "the room's rights have changed: subscribe with a new token",
  room_closed: "the room was closed",
  forbidden: "the refreshed token does not grant this room any more",
};

/** Reasons of `recovered: false`. */
export const UNRECOVERABLE: { readonly [reason: string]: string } = {
  malformed: "the position is not one that a gateway gave",
  trimmed: "the position is older than what this node can prove continuous",
  not_in_log: "the log has no such entry: it was replaced or lost its tail",
  evicted: "publications after the position are no longer in memory",
};
