/**
 * A gateway that speaks the protocol over fake sockets, with one log, and misbehaves on demand:
 * pushes get lost or doubled, connections break, answers fail or never come.
 */

import { LIMITS } from "./world.mjs";

const PAGE = 3;
const offsetOf = (position) => Number(position.slice(1));

export class FakeGateway {
  /** `{ room, data, key, position, previous }`, in order. */
  log = [];
  automatic = ["system.notices"];
  #heads = new Map();
  #keys = new Set();
  #sessions = [];

  /** `chance(p)`: whether something of probability `p` happens now. `faults`: their probabilities. */
  constructor(chance, faults) {
    this.chance = chance;
    this.faults = faults;
  }

  get position() {
    return `o${this.log.length}`;
  }

  append(room, data, key = null) {
    if (key !== null) {
      if (this.#keys.has(key)) return;
      this.#keys.add(key);
    }
    const position = `o${this.log.length + 1}`;
    const previous = this.#heads.get(room) ?? null;
    this.#heads.set(room, position);
    const entry = {
      type: "publication",
      room,
      position,
      previous,
      data,
      kind: "message",
      time: null,
    };
    this.log.push(entry);
    for (const session of this.#sessions) if (session.live.has(room)) this.#push(session, entry);
  }

  /** Meet a client that has opened a socket. */
  accept(socket) {
    socket.accept();
    const session = { socket, live: new Set(), sent: 0, queue: [] };
    this.#sessions.push(session);
    for (const command of socket.commands()) this.#answer(session, command);
    socket.oncommand = (command) => this.#answer(session, command);
  }

  /** Let what is on its way arrive, or break. */
  pump() {
    for (const session of this.#sessions) {
      const { socket, queue } = session;
      const messages = queue.splice(0, queue.length);
      for (const message of messages) {
        if (this.chance(this.faults.break)) socket.drop();
        if (message.id === undefined && this.chance(this.faults.lose)) continue;
        socket.say(message);
        if (message.id === undefined && this.chance(this.faults.double)) socket.say(message);
      }
    }
    this.#sessions = this.#sessions.filter(({ socket }) => !socket.closed);
  }

  #push(session, message) {
    session.sent += 1;
    session.queue.push(message);
  }

  #answer(session, command) {
    const { id, type, room } = command;
    if (this.chance(this.faults.ignore)) return;
    if (type !== "connect" && this.chance(this.faults.refuse)) {
      // A publish may have been appended all the same.
      if (type === "publish" && this.chance(0.5)) this.append(room, command.data, command.key);
      const code = "unavailable";
      session.queue.push({ type: "error", id, code, reason: "try again", temporary: true });
      return;
    }
    const reply = this.#reply(session, command);
    session.queue.push({ id, ...reply });
  }

  #reply(session, { type, room, since, history, data, key }) {
    switch (type) {
      case "connect":
        return {
          type: "connected",
          session: "s",
          user: null,
          node: "n",
          limits: LIMITS,
          expires_in: null,
          rooms: this.automatic.map((room) => {
            session.live.add(room);
            return { room, position: this.position, head: this.#heads.get(room) ?? null };
          }),
        };
      case "subscribe": {
        session.live.delete(room);
        const all = this.log.filter((entry) => entry.room === room);
        const head = this.#heads.get(room) ?? null;
        if (since === undefined) {
          session.live.add(room);
          const publications = history ? all.slice(-history) : [];
          return { type: "subscribed", room, position: this.position, head, publications };
        }
        const missed = all.filter((entry) => offsetOf(entry.position) > offsetOf(since));
        const publications = missed.slice(0, PAGE);
        const more = publications.length < missed.length;
        if (!more) session.live.add(room);
        const position = more ? publications.at(-1).position : this.position;
        const page = { type: "subscribed", room, position, head, publications, recovered: true };
        return more ? { ...page, more } : page;
      }
      case "publish":
        this.append(room, data, key);
        return { type: "published", room };
      case "unsubscribe":
        session.live.delete(room);
        return { type: "unsubscribed", room };
      case "ping":
        return { type: "pong", sent: session.sent, position: this.position };
      default:
        throw new Error(`no such command: ${type}`);
    }
  }
}
