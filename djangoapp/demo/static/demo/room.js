/* The room page: shows a room as the gateway tells it, and publishes what is typed.
   ES5 and no dependency but the Roomline client, so that it runs in browsers of 2012. */
(function () {
  "use strict";

  var HISTORY = 50;
  var OLDER = 50;
  var MOST_SHOWN = 500;
  var TRANSPORTS = ["websocket", "xhr-streaming", "eventsource", "xhr-polling"];
  var STATES = {
    connected: "live",
    connecting: "connecting…",
    disconnected: "offline",
    closed: "not open"
  };

  var config = JSON.parse(byId("roomline-config").textContent);
  var roomName = byId("main").getAttribute("data-room");
  var scroll = byId("scroll");
  var messages = byId("messages");
  var outgoing = byId("outgoing");
  var composer = byId("composer");
  var keys = 0;
  var pageId = randomText();
  /* Whether the newest message is in sight. Kept, because what makes the list smaller tells nobody
     before it does. */
  var atBottom = true;
  var top = 0;
  /* Whether messages from the archive are shown: then the oldest ones stay. */
  var unfolded = false;

  var client = new Roomline(config.endpoints, {
    token: function () {
      return getToken(config.tokenUrl);
    },
    archive: config.archiveUrl,
    sockjs: sockjsOptions()
  });

  client.on("state", function (event) {
    if (event.state !== "connected") byId("transport").textContent = "";
    showState();
  });
  client.on("transport", function (report) {
    byId("transport").textContent = report.transport;
    byId("transport").title = report.tried.reduce(function (text, trial) {
      return text + "\nnot " + trial.transport + ": " + trial.reason;
    }, "Transport in use, after " + report.ms + " ms");
  });
  client.on("error", function (error) {
    if (error.temporary) return;
    if (error.code === "token_failed" && error.room === null) {
      say("note", "You are not admitted here any more: log in, or reload the page.");
    } else {
      say("note", error.message);
    }
  });

  var room = client.subscribe(roomName, {
    history: HISTORY,
    token: function (name) {
      return getToken(config.roomTokenUrl + "?room=" + encodeURIComponent(name));
    }
  });
  room.on("state", showState);
  room.on("subscribed", function (event) {
    if (event.recovered) return;
    if (event.reason) say("note", "Some messages may be missing; history reloaded.");
    messages.setAttribute("aria-busy", "true");
    empty(messages);
    unfolded = false;
    byId("older").hidden = !config.archiveUrl || !event.publications.length;
    for (var i = 0; i < event.publications.length; i++) show(event.publications[i]);
    messages.removeAttribute("aria-busy");
    byId("nothing").hidden = messages.children.length > 0 || Boolean(config.archiveUrl);
    toBottom();
    // Whether anybody has ever said anything here, the archive knows.
    if (config.archiveUrl && !event.publications.length) {
      showOlder(function () {
        byId("older").hidden = false;
      });
    }
  });
  room.on("publication", function (publication) {
    show(publication);
    byId("nothing").hidden = true;
    stayAtBottom();
  });
  room.on("unsubscribed", function (event) {
    var refused = event.code === "token_failed" || event.code === "forbidden";
    if (refused) say("note", "This room is not, or no longer, open to you.");
    else if (event.code === "room_closed") say("note", "This room was closed.");
    else say("note", "This room has ended for you: " + event.reason);
    stopWriting();
  });

  var notices = client.subscribe("system.notices", { history: 1 });
  notices.on("subscribed", function (event) {
    if (event.publications.length) notice(event.publications[event.publications.length - 1]);
  });
  notices.on("publication", notice);

  /* The room of this user alone, for notices to them. */
  var own = null;
  var ownId = null;
  client.on("connected", function (event) {
    if (!event.user || event.user.id === ownId) return;
    if (own !== null) {
      // Logged out elsewhere, or deactivated: the page is another one's now.
      own.unsubscribe();
      say("note", "You are not logged in any more: this page goes on as " + event.user.name + ".");
    }
    ownId = event.user.id;
    own = client.subscribe("user." + ownId);
    own.on("publication", notice);
  });

  if (composer) {
    composer.addEventListener("submit", function (event) {
      var field = byId("text");
      var text = field.value.replace(/^\s+|\s+$/g, "");
      event.preventDefault();
      field.focus();
      if (!text) return;
      field.value = "";
      send(text);
    });
  }
  scroll.addEventListener("scroll", function () {
    // Told late: when the list has become smaller by now, its end is out of sight, but only who
    // reads further up has moved up.
    if (isAtBottom()) atBottom = true;
    else if (scroll.scrollTop < top) atBottom = false;
    top = scroll.scrollTop;
  });
  window.addEventListener("resize", stayAtBottom);
  // `toggle` does not bubble.
  document.addEventListener("toggle", stayAtBottom, true);
  byId("older").querySelector("button").addEventListener("click", function () {
    showOlder(function (error) {
      say("note", "Older messages are not to be had now: " + error.message);
    });
  });
  hideOnClose("notice");
  hideOnClose("note");
  client.connect();

  function showState() {
    var badge = byId("state");
    var state = client.state;
    if (state === "connected" && room.state === "subscribing") state = "connecting";
    if (state === "connected" && room.state === "unsubscribed") state = "closed";
    badge.setAttribute("data-state", state);
    badge.textContent = STATES[state];
  }

  /* Nothing goes to this room any more, until the page is loaded again. */
  function stopWriting() {
    if (!composer) return;
    byId("text").disabled = true;
    composer.querySelector("button").disabled = true;
  }

  function show(publication) {
    messages.appendChild(messageOf(publication));
    while (messages.children.length > MOST_SHOWN && !unfolded) {
      messages.removeChild(messages.firstChild);
      // What is removed here is not in the archive's next page.
      byId("older").hidden = true;
    }
    forget(publication.key);
  }

  function messageOf(publication) {
    var item = element("li", "message " + publication.kind);
    var sender = publication.sender;
    var head = element("p", "head");
    item.setAttribute("data-position", publication.position);
    if (sender && client.user && sender.id === client.user.id) item.className += " mine";
    head.appendChild(element("span", "sender", nameOf(publication)));
    if (sender && /^guest-/.test(sender.id)) head.appendChild(element("span", "badge", "guest"));
    if (publication.time) head.appendChild(timeElement(publication.time));
    item.appendChild(head);
    item.appendChild(element("p", "text", textOf(publication.data)));
    return item;
  }

  function showOlder(failed) {
    var ask = byId("older").querySelector("button");
    var first = messages.firstChild;
    ask.disabled = true;
    room.older(OLDER).then(
      function (page) {
        var from = scroll.scrollHeight - scroll.scrollTop;
        ask.disabled = false;
        // The history was loaded anew meanwhile.
        if (first && first.parentNode !== messages) return;
        unfolded = unfolded || page.publications.length > 0;
        // Where there was nothing, there may be something by now, which came after it.
        first = first || messages.firstChild;
        for (var i = 0; i < page.publications.length; i++) {
          messages.insertBefore(messageOf(page.publications[i]), first);
        }
        byId("older").hidden = !page.more;
        byId("nothing").hidden = messages.children.length > 0;
        // What was in sight stays where it was.
        scroll.scrollTop = scroll.scrollHeight - from;
      },
      function (error) {
        ask.disabled = false;
        failed(error);
      }
    );
  }

  function send(text) {
    var key = pageId + "-" + ++keys;
    var item = element("li", "sending");
    item.setAttribute("data-key", key);
    item.appendChild(element("span", "text", text));
    item.appendChild(element("span", "outcome"));
    outgoing.appendChild(item);
    attempt();

    function attempt() {
      item.className = "sending";
      item.lastChild.textContent = "sending…";
      toBottom();
      // The same key each time: however often it is tried, the message stands in the room once.
      room.publish({ text: text }, { key: key }).then(remove, failed);
    }

    function failed(error) {
      var again = button("Retry", attempt);
      var outcome = item.lastChild;
      item.className = "failed";
      outcome.textContent = "Not sent: " + error.message + " ";
      outcome.setAttribute("role", "alert");
      outcome.appendChild(again);
      outcome.appendChild(document.createTextNode(" "));
      outcome.appendChild(button("Discard", remove));
      toBottom();
    }

    function remove() {
      if (item.parentNode) item.parentNode.removeChild(item);
    }
  }

  /* It stands in the room now: the confirmation may come later than the message itself. */
  function forget(key) {
    var items = outgoing.children;
    for (var i = items.length - 1; i >= 0; i--) {
      if (items[i].getAttribute("data-key") === key) outgoing.removeChild(items[i]);
    }
  }

  function notice(publication) {
    var text = textOf(publication.data);
    say("notice", publication.sender ? publication.sender.name + ": " + text : text);
  }

  function say(id, text) {
    var bar = byId(id);
    bar.querySelector(".text").textContent = text;
    bar.hidden = false;
    stayAtBottom();
  }

  function hideOnClose(id) {
    byId(id).querySelector(".close").addEventListener("click", function () {
      byId(id).hidden = true;
    });
  }

  function nameOf(publication) {
    if (publication.sender) return publication.sender.name;
    return publication.origin || publication.kind;
  }

  function textOf(data) {
    if (typeof data === "string") return data;
    if (data && typeof data.text === "string") return data.text;
    return JSON.stringify(data);
  }

  function timeElement(time) {
    var moment = new Date(time);
    var shown = element("time", "", pad(moment.getHours()) + ":" + pad(moment.getMinutes()));
    shown.setAttribute("datetime", time);
    shown.setAttribute("title", moment.toLocaleString());
    return shown;
  }

  function pad(number) {
    return (number < 10 ? "0" : "") + number;
  }

  /* What a promise would be where there is one: the client only calls `then`. */
  function getToken(url) {
    return {
      then: function (resolve, reject) {
        var request = new XMLHttpRequest();
        request.open("GET", url);
        request.onload = function () {
          var error;
          if (request.status === 200) {
            resolve(JSON.parse(request.responseText).token);
            return;
          }
          error = new Error(url + " answers " + request.status);
          // Not for this visitor: asking again would not help.
          if (request.status === 401 || request.status === 403) error.temporary = false;
          reject(error);
        };
        request.onerror = function () {
          reject(new Error(url + " cannot be reached"));
        };
        request.send();
      }
    };
  }

  /* ?transports=xhr-streaming,xhr-polling leaves the others away. */
  function sockjsOptions() {
    var match = /[?&]transports=([^&]*)/.exec(location.search);
    var wanted = match ? decodeURIComponent(match[1]).split(",") : [];
    var known = wanted.filter(function (name) {
      return TRANSPORTS.indexOf(name) >= 0;
    });
    return known.length ? { transports: known } : {};
  }

  function randomText() {
    var text = "";
    while (text.length < 32) text += Math.random().toString(36).slice(2);
    return text.slice(0, 32);
  }

  function isAtBottom() {
    return scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 60;
  }

  function toBottom() {
    scroll.scrollTop = scroll.scrollHeight;
    top = scroll.scrollTop;
    atBottom = true;
  }

  function stayAtBottom() {
    if (atBottom) toBottom();
  }

  function button(label, action) {
    var made = element("button", "small", label);
    made.type = "button";
    made.addEventListener("click", action);
    return made;
  }

  function element(name, className, text) {
    var made = document.createElement(name);
    if (className) made.className = className;
    if (text) made.textContent = text;
    return made;
  }

  function empty(list) {
    while (list.firstChild) list.removeChild(list.firstChild);
  }

  function byId(id) {
    return document.getElementById(id);
  }
})();
