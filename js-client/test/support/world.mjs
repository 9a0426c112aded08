/** A client in a world that the test controls, and the phrases that tests are written in. */

import assert from "node:assert/strict";
import client from "../../build/index.js";
import { Clock } from "./clock.mjs";
import { socketMaker } from "./sockets.mjs";

export const ROOM = "chat.lobby";
export const LIMITS = { message_bytes: 65536, subscriptions: 100, history: 100 };

/** A publication of `ROOM` whose place is `n`, after `previous`. */
export function publication(n, previous = n - 1, fields = {}) {
  return {
    type: "publication",
    room: ROOM,
    position: `p${n}`,
    previous: previous ? `p${previous}` : null,
    data: n,
    kind: "message",
    time: null,
    ...fields,
  };
}

export class World {
  clock = new Clock();
  SockJS = socketMaker();
  /** What `random` gives: 1 - 2^-53 is the longest wait, 0 none. */
  randomness = 0.5;
  reported = [];
  /** `[name, event]` of every event, of the client and of subscriptions that were watched. */
  events = [];
  #ids = 0;

  /** `stored`: what earlier pages have left in the browser; `modern`: whether that knows
   * cross-origin requests. */
  constructor(endpoints = "http://a", options = {}, stored = new Map(), modern = true) {
    this.stored = stored;
    this.client = new client.Roomline(endpoints, {
      SockJS: this.SockJS,
      clientId: "0123456789abcdef0123456789abcdef",
      ...options,
      environment: {
        setTimeout: this.clock.setTimeout,
        clearTimeout: this.clock.clearTimeout,
        now: () => this.now,
        load: (key) => this.stored.get(key) ?? null,
        save: (key, text) => (text === null ? this.stored.delete(key) : this.stored.set(key, text)),
        hasCrossOriginRequests: () => modern,
        random: () => this.randomness,
        randomId: () => `key-${++this.#ids}`,
        report: (error) => this.reported.push(error),
      },
    });
    for (const name of ["state", "transport", "connected", "error"]) {
      this.client.on(name, (event) => this.events.push([name, event]));
    }
  }

  /** Milliseconds that the machine has slept: timers stood still, the wall clock did not. */
  slept = 0;

  get now() {
    return 1_700_000_000_000 + this.clock.now + this.slept;
  }

  /** The latest socket. */
  get socket() {
    return this.SockJS.made.at(-1);
  }

  /** Events of a name, in order. */
  of(name) {
    return this.events.filter(([other]) => other === name).map(([, event]) => event);
  }

  /** What was told of a room's data, in order. */
  get told() {
    return this.of("publication").map(({ data }) => data);
  }

  watch(subscription) {
    for (const name of ["subscribed", "publication", "unsubscribed"]) {
      subscription.on(name, (event) => this.events.push([name, event]));
    }
    subscription.on("error", (event) => this.events.push(["room error", event]));
    subscription.on("state", (event) => this.events.push(["room state", event]));
    return subscription;
  }

  subscribe(options = {}, room = ROOM) {
    return this.watch(this.client.subscribe(room, options));
  }

  /** Let the client open its next socket, however long it waits, and be welcomed. */
  connect(welcome = {}) {
    if (this.client.state === "disconnected") this.client.connect();
    while (this.socket?.readyState !== 0) this.clock.advance(this.clock.next);
    this.welcome(welcome);
    return this.socket;
  }

  /** Accept the latest socket and answer its `connect`. */
  welcome(fields = {}, transport = "websocket") {
    const { socket } = this;
    if (socket.readyState === 0) socket.accept(transport);
    const { id } = socket.commands("connect")[0];
    socket.say({
      type: "connected",
      id,
      version: 1,
      session: "s-1",
      user: null,
      node: "n-1",
      limits: LIMITS,
      expires_in: null,
      rooms: [],
      ...fields,
    });
    assert.equal(this.client.state, "connected");
  }

  /** Answer the latest `subscribe`. */
  subscribed(fields = {}) {
    const { id, room } = this.socket.commands("subscribe").at(-1);
    this.socket.say({
      type: "subscribed",
      id,
      room,
      position: "p0",
      head: null,
      publications: [],
      ...fields,
    });
  }

  /** Answer a command with an error. */
  refuse({ id }, code, temporary = false) {
    this.socket.say({ type: "error", id, code, reason: `because ${code}`, temporary });
  }

  /** A client that is subscribed to `ROOM`, whose last publication is `p1`. */
  static subscribed(options = {}, subscribe = {}) {
    const world = new World("http://a", options);
    world.subscription = world.subscribe(subscribe);
    world.connect();
    world.subscribed({ position: "p1", head: "p1" });
    world.events.length = 0;
    return world;
  }
}
