/* The inspector's page: asks a node how it stands, once a second, and shows it. */
(function () {
  "use strict";

  var KEY = "roomline-inspector-token";
  var AGAIN_MS = 2000;
  var PUBLICATIONS = 100;

  var followed = null; // {room: name} or {session: id}
  var publications = [];
  var ending = null; // ends the stream that is being read
  var token = sessionStorage.getItem(KEY) || "";

  function by(id) { return document.getElementById(id); }

  function tell(text, bad) { write("told", text, bad); }

  /* What became of an action stays until the next one. */
  function report(text, bad) { write("done", text, bad); }

  function write(id, text, bad) {
    by(id).textContent = text;
    by(id).className = bad ? "bad" : "";
  }

  /* Asking. The token goes into a header: addresses are kept in histories and logs. */

  function ask(path, options) {
    options.headers = { Authorization: "Bearer " + token };
    options.cache = "no-store";
    return fetch("/inspect/" + path, options);
  }

  async function reasonOf(response) {
    try {
      return (await response.json()).reason;
    } catch (error) {
      return "the node answers with status " + response.status;
    }
  }

  async function act(path, body, done) {
    report("");
    try {
      var response = await ask(path, { method: "POST", body: JSON.stringify(body) });
      report(response.ok ? done : await reasonOf(response), !response.ok);
      return response.ok;
    } catch (error) {
      report("The node cannot be reached.", true);
      return false;
    }
  }

  /* Reads the stream until it ends or another one is wanted; then begins anew, for as long as there
     is a token. */
  async function look() {
    if (ending) ending.abort();
    var own = ending = new AbortController();
    while (token && ending === own) {
      var wait = await read(own);
      if (ending !== own || !wait) return;
      await new Promise(function (resolve) { setTimeout(resolve, AGAIN_MS); });
    }
  }

  /* Whether it is worth to come again. */
  async function read(own) {
    var query = followed
      ? "?" + Object.keys(followed)[0] + "=" + encodeURIComponent(Object.values(followed)[0])
      : "";
    try {
      var response = await ask("stream" + query, { signal: own.signal });
      if (!response.ok) {
        var reason = await reasonOf(response);
        if (ending !== own) return false;
        if (response.status === 401 || response.status === 403) {
          forget();
          tell(reason, true);
          return false;
        }
        if (followed && response.status < 500) {
          follow(null);
        }
        tell(reason, true);
        return response.status >= 500;
      }
      sessionStorage.setItem(KEY, token);
      show(true);
      var reader = response.body.getReader();
      var decoder = new TextDecoder();
      var rest = "";
      for (;;) {
        var part = await reader.read();
        if (ending !== own) return false;
        if (part.done) break;
        rest += decoder.decode(part.value, { stream: true });
        var events = rest.split("\n\n");
        rest = events.pop();
        events.forEach(function (event) { render(JSON.parse(event.slice("data: ".length))); });
      }
    } catch (error) {
      if (own.signal.aborted) return false;
    }
    tell("The node cannot be reached; trying again.", true);
    return true;
  }

  function forget() {
    token = "";
    sessionStorage.removeItem(KEY);
    if (ending) ending.abort();
    ending = null;
    followed = null;
    show(false);
    report("");
    tell("Not connected.");
  }

  function show(on) {
    by("ask").hidden = on;
    by("shown").hidden = by("forget").hidden = !on;
  }

  function follow(what) {
    followed = what;
    publications = [];
    by("followed").hidden = !what;
    by("notice").hidden = !(what && what.room);
    by("remove").hidden = !(what && what.session);
    by("followed-what").textContent = what ? Object.keys(what)[0] + " " + Object.values(what)[0] : "";
    by("followed-told").textContent = "";
    table("publications", columnsOfPublications(false), []);
    look();
  }

  /* Tables. A row that stays keeps its element, so that whoever presses a button in it has it under
     the finger until the end. Everything goes in as text. */

  function table(id, columns, rows) {
    var element = by(id);
    var names = columns.map(function (column) { return column.name; }).join("\n");
    if (element.getAttribute("data-names") !== names) {
      element.setAttribute("data-names", names);
      if (element.tHead) element.deleteTHead();
      while (element.tBodies.length) element.removeChild(element.tBodies[0]);
      var head = element.createTHead().insertRow();
      columns.forEach(function (column) {
        var cell = document.createElement("th");
        cell.scope = "col";
        cell.textContent = column.name;
        head.appendChild(cell);
      });
      element.createTBody();
    }
    var body = element.tBodies[0];
    if (!rows.length) {
      if (!(body.rows.length === 1 && body.rows[0].className === "empty")) {
        body.textContent = "";
        var none = body.insertRow();
        none.className = "empty";
        var cell = none.insertCell();
        cell.colSpan = columns.length;
        cell.textContent = "none";
      }
      return;
    }
    if (body.rows.length && body.rows[0].className === "empty") body.deleteRow(0);
    var there = {};
    Array.prototype.forEach.call(body.rows, function (row) { there[row.getAttribute("data-key")] = row; });
    rows.forEach(function (values, place) {
      var key = String(columns[0].value(values)) + (columns[0].unique ? "" : " " + place);
      var row = there[key];
      delete there[key];
      if (!row) {
        row = document.createElement("tr");
        row.setAttribute("data-key", key);
        columns.forEach(function (column) {
          var cell = row.insertCell();
          cell.setAttribute("data-column", column.name);
          if (column.press) {
            var button = document.createElement("button");
            button.type = "button";
            button.textContent = column.name;
            button.addEventListener("click", function () { column.press(row.values); });
            cell.appendChild(button);
          }
        });
      }
      row.values = values;
      if (body.rows[place] !== row) body.insertBefore(row, body.rows[place] || null);
      columns.forEach(function (column, number) {
        if (column.press) return;
        var value = column.value(values);
        var text = value === null || value === undefined ? "–" : String(value);
        var cell = row.cells[number];
        if (cell.textContent !== text) cell.textContent = text;
        cell.className = typeof value === "number" ? "number" : "";
      });
    });
    Object.keys(there).forEach(function (key) { body.removeChild(there[key]); });
  }

  function of(name, key, unique) {
    return { name: name, unique: unique, value: function (row) { return row[key]; } };
  }

  function made(name, value) { return { name: name, value: value }; }

  function pairs(id, values) {
    table(id, [{ name: "what", unique: true, value: function (row) { return row[0]; } },
      made("now", function (row) { return row[1]; })], values);
  }

  function clock(seconds) {
    return seconds === null ? "–" : new Date(seconds * 1000).toLocaleTimeString();
  }

  function listed(counts) {
    return Object.keys(counts).map(function (key) { return key + " " + counts[key]; }).join(", ") || "none";
  }

  function tried(row) {
    return row.tried.map(function (one) {
      return one.transport + ": " + one.reason + " after " + one.seconds + " s";
    }).join(", ") || "–";
  }

  function behind(seconds) {
    return seconds ? seconds.toFixed(1) + " s" : "read to its end";
  }

  function columnsOfPublications(data) {
    var columns = [of("position", "position", true), of("room", "room"), of("kind", "kind"),
      of("bytes", "bytes"), of("time", "time")];
    return data ? columns.concat([of("data", "data")]) : columns;
  }

  function render(state) {
    tell(state.node.name + ", " + state.node.status + ", " + clock(state.time),
      state.node.status !== "ready");
    pairs("node", [["name", state.node.name], ["version", state.node.version],
      ["status", state.node.status], ["sessions", state.sessions.count],
      ["rooms", state.rooms.count], ["waiting to be written", state.sessions.waiting + " bytes"]]);
    var broker = state.broker;
    pairs("broker", [["broker", broker.sort], ["log of rooms", behind(broker.behind.rooms)],
      ["revocations", behind(broker.behind.control)], ["position", broker.position],
      ["unconfirmed", broker.unconfirmed], ["publishes", listed(broker.publishes)],
      ["connections made again", listed(broker.reconnects)], ["cut off", broker.cut_offs + " times"],
      ["log replaced", broker.log_resets + " times"]]);
    table("nodes", [of("node", "name", true), of("state", "state"),
      made("since", function (row) { return new Date(row.since).toLocaleString(); })], state.nodes);
    table("transports", [of("transport", "transport", true), of("sessions", "count")],
      Object.keys(state.transports).sort().map(function (name) {
        return { transport: name, count: state.transports[name] };
      }));
    table("fallbacks", [of("transport", "transport"), of("reason", "reason"), of("times", "count")],
      state.fallbacks);
    table("sessions", [of("session", "session", true), of("user", "user"),
      of("transport", "transport"), made("could not use", tried), of("rooms", "subscriptions"),
      made("outbox", function (row) { return row.outbox + " of " + row.limit; }), of("sent", "sent"),
      { name: "Follow", press: function (row) { follow({ session: row.session }); } }],
    state.sessions.shown);
    table("rooms", [of("room", "room", true), of("subscribers", "subscribers"),
      of("a second", "rate"), of("held", "held"),
      made("last", function (row) { return clock(row.last); }),
      { name: "Follow", press: function (row) { follow({ room: row.room }); } }], state.rooms.shown);
    table("incidents", [made("time", function (row) { return clock(row.time); }), of("code", "code"),
      of("room", "room"), of("session", "session")], state.incidents);
    if (state.followed && followed) renderFollowed(state.followed, state.data);
  }

  function renderFollowed(told, data) {
    publications = told.publications.reverse().concat(publications).slice(0, PUBLICATIONS);
    table("publications", columnsOfPublications(data), publications);
    var texts = [];
    if (followed.session) {
      var row = told.session;
      by("remove").hidden = !row;
      texts.push(row ? row.transport + ", " + row.subscriptions + " rooms, outbox " + row.outbox +
        " of " + row.limit + ", " + row.sent + " sent." : "The session has ended.");
    }
    if (told.missed) texts.push(told.missed + " more in the last second.");
    if (told.obstacle) texts.push("Not followed now: " + told.obstacle + ".");
    if (!data) texts.push("Data is not shown: the setting is inspect_data.");
    by("followed-told").textContent = texts.join(" ");
  }

  /* What is pressed. */

  by("ask").addEventListener("submit", function (event) {
    event.preventDefault();
    token = by("token").value.trim();
    by("token").value = "";
    tell("Asking.");
    look();
  });
  by("forget").addEventListener("click", forget);
  by("follow").addEventListener("submit", function (event) {
    event.preventDefault();
    follow({ room: by("follow-room").value.trim() });
  });
  by("unfollow").addEventListener("click", function () { follow(null); });
  by("remove").addEventListener("click", function () {
    var id = followed.session;
    if (window.confirm("Disconnect session " + id + "? It will not come back by itself.")) {
      act("sessions/" + encodeURIComponent(id) + "/disconnect", {}, "The session is disconnected.");
    }
  });
  var notice = { text: "", key: "" }; // sent again with the same key it is published once
  by("notice").addEventListener("submit", async function (event) {
    event.preventDefault();
    var text = by("notice-text").value;
    if (notice.text !== text) {
      notice = { text: text, key: String(Date.now()) + String(Math.random()).slice(1) };
    }
    var room = followed.room;
    if (await act("rooms/" + encodeURIComponent(room) + "/notice", notice, "The notice is sent.")) {
      by("notice-text").value = "";
      notice = { text: "", key: "" };
    }
  });

  if (token) look();
})();
