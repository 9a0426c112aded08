/**
 * Which transports to use at one endpoint: what failed, what that proves, what is left out. Values
 * and functions of values; `routes.ts` holds them.
 *
 * Transports form three families, the best first. What happens to one transport of a family behind
 * a proxy happens to all of it, so families are left out, never single transports.
 *
 *     from: 0 --struck--> from: 1 --struck--> from: 2 --struck--> from: 0
 *                 `--------- what is used then delivers: proved, to be remembered
 *
 * A failure proves nothing against a transport by itself: the gateway may be ill. What proves it is
 * another transport that delivers soon after. If all fail, or the endpoint cannot be reached at
 * all, nothing is proved, and all are used again.
 */
/** Why a transport is not in use:
 *
 * `unopened`: it did not open. `unanswered`: it opened, but nothing came through. `late`: what came
 * through came in lumps. `silent`: it delivered no more. `cut`: it broke soon after it had opened.
 * `remembered`: it failed earlier, in this browser.
 */
export type TransportReason = "unopened" | "unanswered" | "late" | "silent" | "cut" | "remembered";
/** A transport that is not in use. */
export interface Trial {
    /** SockJS's name. */
    readonly transport: string;
    readonly reason: TransportReason;
    /** Milliseconds that it took to fail. */
    readonly ms: number;
}
interface Suspicion {
    readonly trial: Trial;
    /** Milliseconds since the epoch. */
    readonly at: number;
}
export interface Route {
    /** The best family that is used. */
    readonly from: number;
    /** Whether `from` is what the browser remembers. */
    readonly remembered: boolean;
    /** What was left out since, and is not proved. */
    readonly suspicions: readonly Suspicion[];
    /** How many sessions in a row failed in a way that an unlucky gateway may explain. */
    readonly strikes: number;
}
/** Everything may be used. */
export declare const OPEN_ROUTE: Route;
/** What to try in a browser, unless the page says. */
export declare function usualTransports(hasCrossOriginRequests: boolean): string[];
/** The families of which `wanted` names a transport. */
export declare function familiesOf(wanted: readonly string[]): number[];
/** The family of a transport; -1: it is none of those that are known. */
export declare function familyOf(transport: string): number;
/** The transports from this family on that are wanted; null: all. */
export declare function transportsFrom(from: number, wanted: readonly string[] | null): string[];
/** The family to fall back to from a transport; -1: there is none. */
export declare function familyAfter(transport: string, families: readonly number[]): number;
/** A session failed after it had opened, in a way that may be its transport's fault. */
export declare function struck(route: Route, trial: Trial, families: readonly number[], now: number): Route;
/** Whether there is anything to find out yet: else the route is what the browser remembers. */
export declare function isOpenQuestion({ suspicions, strikes }: Route, now: number): boolean;
/** A session ended in a way that shows its transport to deliver. */
export declare function acquitted({ from, remembered, suspicions }: Route): Route;
/** What is not in use, while `transport` delivers: suspicions, what SockJS has just tried in
 * vain, and what the browser remembers. */
export declare function leftOut(route: Route, tried: readonly Trial[], families: readonly number[], wanted: readonly string[]): Trial[];
/**
 * Whether something newly failed that is proved by `transport`, which delivers. `tried`: what
 * SockJS has just tried in vain. `stable`: it has delivered for so long that it would have shown
 * faults that take their time.
 */
export declare function proves(route: Route, transport: string, tried: readonly Trial[], stable: boolean, now: number): boolean;
export {};
