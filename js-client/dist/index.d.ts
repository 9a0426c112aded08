/** What the package offers. */
export type { ArchivePage, ArchiveQuery, ArchiveSource, OlderPage } from "./archive.js";
export { Roomline } from "./client.js";
export type { ClientEvents, ConnectedEvent } from "./client.js";
export { DISCONNECTS, ERRORS, UNRECOVERABLE, UNSUBSCRIBED } from "./codes.js";
export type { StateEvent, TransportEvent } from "./connector.js";
export type { Environment } from "./environment.js";
export type { RoomlineError } from "./errors.js";
export type { TransportReason, Trial } from "./fallback.js";
export type { SubscribedEvent, SubscribeOptions } from "./follower.js";
export type { HistoryPage, Limits, Publication, User } from "./messages.js";
export type { Published } from "./publisher.js";
export type { RequestOptions } from "./requester.js";
export type { Fallback, Options, Timeouts, TokenAnswer } from "./settings.js";
export type { ClientState, SubscriptionState } from "./states.js";
export type { PublishOptions, Subscription, SubscriptionEvents, UnsubscribedEvent, } from "./subscription.js";
export type { SockJSConstructor, SockJSLike, SockJSOptions } from "./transport.js";
