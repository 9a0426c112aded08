/*
 * What a page of the tests does, in ES5 at most: it talks over one transport after the other and
 * posts what it saw to the server that it came from. The page has set `setup` and `clients`.
 */

/** Post a report: JSON in ASCII, so that what is in a string arrives as it was. */
function report(name, value) {
  "use strict";
  var text = JSON.stringify([name, value]).replace(/[\u007f-\uffff]/g, function (character) {
    return "\\u" + ("0000" + character.charCodeAt(0).toString(16)).slice(-4);
  });
  var request = new XMLHttpRequest();
  request.open("POST", setup.report, true);
  request.send(text);
  var line = document.createElement("li");
  line.appendChild(document.createTextNode(text.slice(0, 160)));
  document.getElementById("reports").appendChild(line);
}

window.onerror = function (message, file, line) {
  "use strict";
  report("error", message + " at " + file + ":" + line);
};

/** A socket that is forced to one transport; both names of the option, for both clients. */
function forced(client, url, transport) {
  "use strict";
  return new clients[client](url, null, {
    transports: [transport],
    protocols_whitelist: [transport]
  });
}

/** Call `next` once, with what `begin` gives it or with null after `setup.patience` ms. */
function bounded(begin, next) {
  "use strict";
  var over = false;
  function finish(value) {
    if (over) return;
    over = true;
    clearTimeout(timer);
    next(value);
  }
  var timer = setTimeout(function () {
    finish(null);
  }, setup.patience);
  begin(finish);
}

/** Send the name and every payload, and take the echoes, until the server closes. */
function heardOut(talk, next) {
  "use strict";
  var seen = { used: null, received: [], closed: null };
  bounded(function (finish) {
    var socket = forced(talk.client, talk.url, talk.transport);
    socket.onopen = function () {
      seen.used = socket.transport || socket.protocol;
      [talk.name].concat(setup.payloads, ["close"]).forEach(function (text) {
        socket.send(text);
      });
    };
    socket.onmessage = function (event) {
      seen.received.push(event.data);
    };
    socket.onclose = function (event) {
      seen.closed = [event.code, event.reason];
      finish(seen);
    };
  }, function (whole) {
    next(whole || seen);
  });
}

/** Send a name, and leave when its echo has come. */
function leaving(talk, next) {
  "use strict";
  bounded(function (finish) {
    var socket = forced(talk.client, talk.url, talk.transport);
    socket.onopen = function () {
      socket.send(talk.name + " leaves");
    };
    socket.onmessage = function () {
      socket.close(3456, "enough");
    };
    socket.onclose = function (event) {
      finish([event.code, event.reason]);
    };
  }, next);
}

/** Every talk of the setup, one after the other. */
function talkAll() {
  "use strict";
  var talks = setup.talks.slice();
  function following() {
    var talk = talks.shift();
    if (!talk) return;
    var begun = new Date().getTime();
    heardOut(talk, function (seen) {
      seen.name = talk.name;
      seen.intact = JSON.stringify(seen.received) ===
        JSON.stringify([talk.name].concat(setup.payloads, ["close"]));
      // A report names the first text that is not as it was.
      seen.received = seen.intact ? [] : seen.received;
      if (seen.used === null) return ended();
      leaving(talk, function (left) {
        seen.left = left;
        ended();
      });
      function ended() {
        seen.milliseconds = new Date().getTime() - begun;
        report("talk", seen);
        following();
      }
    });
  }
  following();
}

/** One room: publish into it, be cut off, come back, and take everything up to "stop". */
function roomThrough(stay, next) {
  "use strict";
  var told = [];
  var subscribed = [];
  var transports = [];
  var client = new Roomline(stay.url, {
    SockJS: clients[stay.client],
    sockjs: { transports: [stay.transport], protocols_whitelist: [stay.transport] },
    backoff: { base: 100, cap: 500 },
    timeouts: { ping: 1000, pong: 2000 }
  });
  var room = client.subscribe(stay.room);
  client.on("connected", function (event) {
    transports.push(event.transport);
  });
  room.on("subscribed", function (event) {
    subscribed.push(event.recovered);
    if (subscribed.length === 1) room.publish(setup.payload);
    else report("back", stay.room);
  });
  room.on("publication", function (publication) {
    told.push(publication.data);
    if (told.length < 3) report("told", stay.room);
    if (publication.data !== "stop") return;
    client.disconnect();
    report("stopped", {
      room: stay.room,
      intact: told.length > 0 && told[0] === setup.payload,
      told: told.slice(1),
      subscribed: subscribed,
      transports: transports
    });
    next();
  });
  client.connect();
}

/** Every stay of the setup, one after the other. */
function stayInAll() {
  "use strict";
  var stays = setup.stays.slice();
  function following() {
    var stay = stays.shift();
    if (stay) roomThrough(stay, following);
  }
  following();
}
