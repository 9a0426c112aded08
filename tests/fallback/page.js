/*
 * What a page does, in ES5: by stock sockjs-client or by the Roomline client. `report` takes one JSON
 * value at a time; times are milliseconds since the call.
 */

/** Connect, send one text, and tell what comes: opened, echoed, closed. */
function talk(url, report) {
  "use strict";
  var began = Date.now();
  var socket = new SockJS(url);
  socket.onopen = function () {
    report(["opened", socket.transport, Date.now() - began]);
    socket.send("h\u00e9llo");
  };
  socket.onmessage = function (event) {
    report(["echoed", event.data, Date.now() - began]);
  };
  socket.onclose = function (event) {
    report(["closed", event.code, Date.now() - began]);
  };
}

/** Subscribe to a room, publish once, and tell everything until a publication says "stop". */
function follow(url, name, options, report) {
  "use strict";
  var began = Date.now();
  var told = [];
  var published = false;
  var client = new Roomline(url, options);
  var room = client.subscribe(name, { history: 100 });
  client.on("transport", function (event) {
    report(["transport", event, Date.now() - began]);
  });
  room.on("subscribed", function (event) {
    if (event.reason !== null) report(["lost", event.reason]);
    event.publications.forEach(function (publication) {
      told.push(publication.data);
    });
    report(["subscribed", event.recovered]);
    if (published) return;
    published = true;
    room.publish("from the page").then(
      function () {
        report(["published"]);
      },
      function (error) {
        report(["refused", error.code]);
      }
    );
  });
  room.on("publication", function (publication) {
    told.push(publication.data);
    report(["told", publication.data]);
    if (publication.data !== "stop") return;
    client.disconnect();
    report(["done", told]);
  });
  client.connect();
}
