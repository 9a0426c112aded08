/** sockjs-client, reduced to what a session needs: open, send, close, which transports it tried, and
 * no late surprises. */

import { transportsFrom, type Trial } from "./fallback.js";

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
export type SockJSOptions = { readonly [name: string]: unknown };

export interface TransportListener {
  opened(): void;
  received(text: string): void;
  /** It ended by itself, or could not begin. Never follows `Transport.close`. */
  closed(code: number, reason: string): void;
}

/** SockJS gives up on a transport after a few of its measured round trips, 600 ms on a fast line:
 * a gateway that stalls for longer would push clients off websocket. */
const SOCKJS_TIMEOUT = 3000;

declare const SockJS: SockJSConstructor | undefined;

/** The constructor to use when `options.SockJS` is not given: the page's global. */
export function globalSockJS(): SockJSConstructor {
  if (typeof SockJS !== "function") {
    throw new Error(
      "there is no global SockJS: load sockjs-client before roomline, or give it as options.SockJS",
    );
  }
  return SockJS;
}

export class Transport {
  /** SockJS's name of it once it is open, and from then on; null: none. SockJS forgets it when it
   * closes. */
  name: string | null = null;
  private readonly socket: SockJSLike;
  /** What SockJS has begun to try, and when. */
  private readonly begun: { readonly transport: string; readonly at: number }[] = [];
  /** Whether the last one of them has opened; else it has failed when SockJS closes. */
  private open = false;
  private openedAt = 0;
  private closedAt = 0;

  /** `only`: the transports that SockJS may use, null: what it likes. Raises what `SockJS` raises
   * for a URL that it does not accept. */
  constructor(
    SockJSClass: SockJSConstructor,
    url: string,
    options: SockJSOptions,
    only: readonly string[] | null,
    private readonly now: () => number,
    listener: TransportListener,
  ) {
    const merged: { [name: string]: unknown } = { timeout: SOCKJS_TIMEOUT };
    for (const name of Object.keys(options)) merged[name] = options[name];
    if (only) merged.transports = only;
    merged.transportOptions = this.watched(options.transportOptions as SockJSOptions | undefined);
    this.socket = new SockJSClass(url, null, merged);
    this.socket.onopen = () => {
      this.open = true;
      this.openedAt = now();
      this.name = this.socket.transport || null;
      listener.opened();
    };
    this.socket.onmessage = (event: { data: string }) => listener.received(event.data);
    this.socket.onclose = (event: { code: number; reason: string }) => {
      this.closedAt = now();
      this.silence();
      listener.closed(event.code, event.reason);
    };
  }

  /** What SockJS has tried in vain, in that order. */
  get tried(): Trial[] {
    const failed = this.open ? this.begun.slice(0, -1) : this.begun;
    return failed.map(({ transport, at }, i) => {
      const next = this.begun[i + 1];
      const ms = Math.max(0, (next ? next.at : this.closedAt) - at);
      return { transport, reason: "unopened", ms };
    });
  }

  /** Milliseconds that the one that is open took for that. */
  get opening(): number {
    const last = this.begun[this.begun.length - 1];
    return last ? this.openedAt - last.at : 0;
  }

  send(text: string): void {
    this.socket.send(text);
  }

  /** Leave. The listener hears nothing more. */
  close(): void {
    this.silence();
    this.socket.close();
  }

  /** The options of each transport. SockJS looks them up when it begins to try that transport,
   * which is how one learns that it does. */
  private watched(options: SockJSOptions = {}): SockJSOptions {
    const watched = {};
    for (const transport of transportsFrom(0, null)) {
      const get = (): unknown => {
        this.begun.push({ transport, at: this.now() });
        return options[transport];
      };
      Object.defineProperty(watched, transport, { get, enumerable: true });
    }
    return watched;
  }

  private silence(): void {
    this.socket.onopen = this.socket.onmessage = this.socket.onclose = null;
  }
}
