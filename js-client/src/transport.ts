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
  private readonly socket: SockJSLike;

  /** Raises what `SockJS` raises for a URL that it does not accept. */
  constructor(
    SockJSClass: SockJSConstructor,
    url: string,
    options: { readonly [name: string]: unknown },
    listener: TransportListener,
  ) {
    const merged: { [name: string]: unknown } = { timeout: SOCKJS_TIMEOUT };
    for (const name of Object.keys(options)) merged[name] = options[name];
    this.socket = new SockJSClass(url, null, merged);
    this.socket.onopen = () => listener.opened();
    this.socket.onmessage = (event: { data: string }) => listener.received(event.data);
    this.socket.onclose = (event: { code: number; reason: string }) => {
      this.silence();
      listener.closed(event.code, event.reason);
    };
  }

  /** SockJS's name of it, or null. */
  get name(): string | null {
    return this.socket.transport || null;
  }

  send(text: string): void {
    this.socket.send(text);
  }

  /** Leave. The listener hears nothing more. */
  close(): void {
    this.silence();
    this.socket.close();
  }

  private silence(): void {
    this.socket.onopen = this.socket.onmessage = this.socket.onclose = null;
  }
}
