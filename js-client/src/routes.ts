/** The way to each endpoint, and what the browser remembers of it from page to page. */

import {
  acquitted,
  familiesOf,
  familyAfter,
  familyOf,
  isOpenQuestion,
  leftOut,
  OPEN_ROUTE,
  proves,
  struck,
  transportsFrom,
  usualTransports,
  type Route,
  type Trial,
} from "./fallback.js";
import type { Settings } from "./settings.js";
import { Table } from "./table.js";

const PREFIX = "roomline.transport:";
/** The first time a failure is remembered for this part of the longest time; each time that it is
 * met again, for twice as long. */
const FIRST_SHARE = 8;

/** What is kept in the browser, as JSON. */
interface Memory {
  /** The best family that delivers. */
  readonly from: number;
  /** Milliseconds since the epoch: better ones are tried again from then on. */
  readonly until: number;
  /** How often in a row it has been so. */
  readonly times: number;
}

export class Routes {
  private readonly routes = new Table<Route>();
  private readonly wanted: readonly string[];
  /** Whether the page has said what is wanted. */
  private readonly chosen: boolean;
  private readonly families: readonly number[];

  constructor(private readonly settings: Settings) {
    const { environment, sockjs } = settings;
    const { transports } = sockjs;
    const listed = typeof transports === "string" ? [transports] : (transports as string[]) || [];
    this.chosen = listed.length > 0;
    this.wanted = this.chosen ? listed : usualTransports(environment.hasCrossOriginRequests());
    this.families = familiesOf(this.wanted);
  }

  /** What SockJS may use at an endpoint that is about to be tried; null: what it has been told
   * by the page. */
  begin(endpoint: string): readonly string[] | null {
    let route = this.at(endpoint);
    if (!isOpenQuestion(route, this.settings.environment.now())) {
      route = this.recall(endpoint);
      this.routes.set(endpoint, route);
    }
    const asTold = route.from === 0 && (this.chosen || !this.settings.fallback);
    return asTold ? null : transportsFrom(route.from, this.wanted);
  }

  /** Whether there is anything to fall back to from a transport. */
  canLeave(transport: string | null): boolean {
    if (!this.settings.fallback || transport === null) return false;
    return familyAfter(transport, this.families) >= 0;
  }

  /** What is not in use at an endpoint, and why; `tried`: what SockJS has just tried in vain. */
  leftOut(endpoint: string, tried: readonly Trial[]): Trial[] {
    return leftOut(this.at(endpoint), tried, this.families, this.wanted);
  }

  /** A transport delivers, after `tried` have failed. `stable`: and has done so for a while. */
  delivers(endpoint: string, transport: string, tried: readonly Trial[], stable: boolean): void {
    const { fallback, environment } = this.settings;
    if (!fallback) return;
    const now = environment.now();
    const memory = this.load(endpoint);
    const family = familyOf(transport);
    if (proves(this.at(endpoint), transport, tried, stable, now)) {
      const times = memory && memory.from === family ? memory.times + 1 : 1;
      const share = Math.min(1, Math.pow(2, times - 1) / FIRST_SHARE);
      this.save(endpoint, { from: family, until: now + share * fallback.remember, times });
      this.routes.set(endpoint, this.recall(endpoint));
    } else if (memory && family >= 0 && family < memory.from) {
      this.save(endpoint, null);
    }
  }

  /** A session failed after it had opened, and its transport may be at fault. True: it is left
   * out from now on. */
  strike(endpoint: string, trial: Trial): boolean {
    if (!this.settings.fallback) return false;
    const route = struck(this.at(endpoint), trial, this.families, this.settings.environment.now());
    this.routes.set(endpoint, route);
    if (route === OPEN_ROUTE) this.save(endpoint, null);
    return route.from > familyOf(trial.transport);
  }

  /** A session ended in a way that shows its transport to deliver. */
  acquit(endpoint: string): void {
    this.routes.set(endpoint, acquitted(this.at(endpoint)));
  }

  /** No session was opened. `tried`: whether any transport was: then it was wrong, or is by now,
   * to leave others out. Else the endpoint cannot be reached, which says nothing. */
  unreached(endpoint: string, tried: boolean): void {
    if (tried && this.at(endpoint).from) this.save(endpoint, null);
    this.routes.set(endpoint, OPEN_ROUTE);
  }

  private at(endpoint: string): Route {
    return this.routes.get(endpoint) || OPEN_ROUTE;
  }

  private recall(endpoint: string): Route {
    const { fallback, environment } = this.settings;
    const memory = this.load(endpoint);
    if (!fallback || !memory) return OPEN_ROUTE;
    const left = memory.until - environment.now();
    const usable = this.families.indexOf(memory.from) >= 0;
    // Longer than anything is remembered: the clock was set back.
    if (!usable || left <= 0 || left > fallback.remember) return OPEN_ROUTE;
    return { from: memory.from, remembered: true, suspicions: [], strikes: 0 };
  }

  private load(endpoint: string): Memory | null {
    let memory: Memory | null;
    try {
      memory = JSON.parse(this.settings.environment.load(PREFIX + endpoint) || "null") as Memory;
    } catch {
      return null;
    }
    // Others write there, too.
    const sound =
      memory &&
      [memory.from, memory.until, memory.times].every((n) => typeof n === "number" && n > 0);
    return sound ? memory : null;
  }

  private save(endpoint: string, memory: Memory | null): void {
    const text = memory && JSON.stringify(memory);
    this.settings.environment.save(PREFIX + endpoint, text);
  }
}
