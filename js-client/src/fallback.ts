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

const FAMILIES: readonly (readonly string[])[] = [
  ["websocket"],
  [
    "xhr-streaming",
    "xdr-streaming",
    "eventsource",
    "iframe-eventsource",
    "htmlfile",
    "iframe-htmlfile",
  ],
  ["xhr-polling", "xdr-polling", "iframe-xhr-polling", "jsonp-polling"],
];

/** Why a transport is not in use:
 *
 * `unopened`: it did not open. `unanswered`: it opened, but nothing came through. `late`: what came
 * through came in lumps. `silent`: it delivered no more. `cut`: it broke soon after it had opened.
 * `remembered`: it failed earlier, in this browser.
 */
export type TransportReason =
  | "unopened"
  | "unanswered"
  | "late"
  | "silent"
  | "cut"
  | "remembered";

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
export const OPEN_ROUTE: Route = { from: 0, remembered: false, suspicions: [], strikes: 0 };

/** Failures that a bad line or a killed gateway explain as well count when so many sessions in a
 * row have failed like that. */
const STRIKES: { readonly [reason: string]: number } = { silent: 2, cut: 3 };
/** How soon (milliseconds) after a failure another transport must deliver to prove it. */
const SOON = 60000;

/** What only browsers of before cross-origin requests need. In others they fail where their better
 * siblings did, each after its time-out. */
const RELICS = ["iframe-eventsource", "htmlfile", "iframe-htmlfile"];

/** What to try in a browser, unless the page says. */
export function usualTransports(hasCrossOriginRequests: boolean): string[] {
  const names = transportsFrom(0, null);
  return hasCrossOriginRequests ? names.filter((name) => RELICS.indexOf(name) < 0) : names;
}

/** The families of which `wanted` names a transport. */
export function familiesOf(wanted: readonly string[]): number[] {
  const families = FAMILIES.map((_, family) => family);
  return families.filter((family) => FAMILIES[family]!.some((name) => wanted.indexOf(name) >= 0));
}

/** The family of a transport; -1: it is none of those that are known. */
export function familyOf(transport: string): number {
  for (let family = 0; family < FAMILIES.length; family++) {
    if (FAMILIES[family]!.indexOf(transport) >= 0) return family;
  }
  return -1;
}

/** The transports from this family on that are wanted; null: all. */
export function transportsFrom(from: number, wanted: readonly string[] | null): string[] {
  const names = FAMILIES.slice(from).reduce<string[]>((all, family) => all.concat(family), []);
  return wanted ? names.filter((name) => wanted.indexOf(name) >= 0) : names;
}

/** The family to fall back to from a transport; -1: there is none. */
export function familyAfter(transport: string, families: readonly number[]): number {
  const family = familyOf(transport);
  const worse = family < 0 ? [] : families.filter((other) => other > family);
  return worse.length ? worse[0]! : -1;
}

/** A session failed after it had opened, in a way that may be its transport's fault. */
export function struck(
  route: Route,
  trial: Trial,
  families: readonly number[],
  now: number,
): Route {
  const strikes = route.strikes + 1;
  const { from, remembered, suspicions } = route;
  if (strikes < (STRIKES[trial.reason] || 1)) return { from, remembered, suspicions, strikes };
  const next = familyAfter(trial.transport, families);
  // All have failed; or what is remembered is of another network than this, and all may deliver.
  if (next < 0 || remembered) return OPEN_ROUTE;
  return {
    from: next,
    remembered,
    suspicions: recent(suspicions, now).concat([{ trial, at: now }]),
    strikes: 0,
  };
}

/** Whether there is anything to find out yet: else the route is what the browser remembers. */
export function isOpenQuestion({ suspicions, strikes }: Route, now: number): boolean {
  return strikes > 0 || recent(suspicions, now).length > 0;
}

/** A session ended in a way that shows its transport to deliver. */
export function acquitted({ from, remembered, suspicions }: Route): Route {
  return { from, remembered, suspicions, strikes: 0 };
}

/** What is not in use, while `transport` delivers: suspicions, what SockJS has just tried in
 * vain, and what the browser remembers. */
export function leftOut(
  route: Route,
  tried: readonly Trial[],
  families: readonly number[],
  wanted: readonly string[],
): Trial[] {
  const skipped = route.remembered ? families.filter((family) => family < route.from) : [];
  const remembered = skipped.map((family): Trial => {
    const names = FAMILIES[family]!.filter((name) => wanted.indexOf(name) >= 0);
    return { transport: names[0]!, reason: "remembered", ms: 0 };
  });
  return remembered.concat(
    route.suspicions.map(({ trial }) => trial),
    tried,
  );
}

/**
 * Whether something newly failed that is proved by `transport`, which delivers. `tried`: what
 * SockJS has just tried in vain. `stable`: it has delivered for so long that it would have shown
 * faults that take their time.
 */
export function proves(
  route: Route,
  transport: string,
  tried: readonly Trial[],
  stable: boolean,
  now: number,
): boolean {
  const family = familyOf(transport);
  const suspects = recent(route.suspicions, now).filter(({ trial }) => stable || isQuick(trial));
  const better = ({ transport: other }: Trial) => familyOf(other) < family;
  return tried.some(better) || suspects.some(({ trial }) => better(trial));
}

/** The faults that a transport of the next family would have shown already. */
function isQuick({ reason }: Trial): boolean {
  return reason === "unanswered";
}

function recent(suspicions: readonly Suspicion[], now: number): Suspicion[] {
  return suspicions.filter(({ at }) => Math.abs(now - at) <= SOON);
}
