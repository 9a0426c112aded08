/** The states that a client and a subscription can be in, as applications see them. */

/** `connecting` includes waiting for the next attempt. */
export type ClientState = "disconnected" | "connecting" | "connected";

/** `subscribing` includes waiting for a connection. `unsubscribed` is the end of a subscription. */
export type SubscriptionState = "unsubscribed" | "subscribing" | "subscribed";
