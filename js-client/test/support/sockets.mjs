/** A stand-in for sockjs-client: the test is the other end. */

import assert from "node:assert/strict";

/** A constructor to give as `options.SockJS`; `made` lists its sockets. */
export function socketMaker() {
  const made = [];
  class FakeSockJS {
    onopen = null;
    onmessage = null;
    onclose = null;
    transport = null;
    readyState = 0;
    trying = null;
    /** What the client sent, as texts. */
    texts = [];
    /** Called with each command, if set. */
    oncommand = null;

    constructor(url, protocols, options) {
      Object.assign(this, { url, options });
      made.push(this);
    }

    send(text) {
      assert.equal(this.readyState, 1, "sockjs-client raises or drops what is sent while not open");
      this.texts.push(text);
      this.oncommand?.(JSON.parse(text));
    }

    close() {
      this.readyState = 3;
    }

    get closed() {
      return this.readyState === 3;
    }

    /** All commands so far, or those of one type. */
    commands(type = null) {
      const all = this.texts.map((text) => JSON.parse(text));
      return type ? all.filter((command) => command.type === type) : all;
    }

    /** The latest command, which must be of this type. */
    last(type) {
      const command = this.commands().at(-1);
      assert.equal(command?.type, type);
      return command;
    }

    // The gateway's side.

    /** Begin to try a transport, looking up its options as sockjs-client does. */
    tries(transport) {
      assert.equal(this.readyState, 0);
      this.trying = transport;
      return this.options.transportOptions[transport];
    }

    accept(transport = "websocket") {
      if (this.trying !== transport) this.tries(transport);
      this.readyState = 1;
      this.transport = transport;
      this.onopen?.({});
    }

    say(message) {
      if (this.closed) return;
      this.onmessage?.({ data: typeof message === "string" ? message : JSON.stringify(message) });
    }

    drop(code = 1006, reason = "Connection lost") {
      if (this.closed) return;
      this.readyState = 3;
      this.transport = null;
      this.onclose?.({ code, reason, wasClean: code !== 1006 });
    }
  }
  FakeSockJS.made = made;
  return FakeSockJS;
}
