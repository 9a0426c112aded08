/*
 * What a page does with the client, in ES5: subscribes, publishes once, and tells what it sees
 * until a publication says "stop". `report` takes one JSON value at a time.
 */

function scenario(Roomline, url, sockjs, report) {
  "use strict";
  var told = [];
  var subscribed = [];
  var published = false;
  var client = new Roomline(url, { sockjs: sockjs, backoff: { base: 100, cap: 1000 } });
  var room = client.subscribe("chat.lobby", { history: 10 });
  client.on("error", function (error) {
    report(["error", error.code, error.message]);
  });
  client.on("transport", function (event) {
    report(["transport", event]);
  });
  client.on("connected", function (event) {
    report(["connected", event.transport]);
  });
  room.on("subscribed", function (event) {
    subscribed.push([event.recovered, event.reason, event.publications.length]);
    if (published) return;
    published = true;
    room.publish({ text: "h\u00e9llo \ud83d\ude00" }).then(
      function (confirmed) {
        report(["published", confirmed.key]);
      },
      function (error) {
        report(["refused", error.code]);
      }
    );
  });
  room.on("publication", function (publication) {
    told.push(publication.data);
    if (publication.data !== "stop") return;
    client.disconnect();
    report(["done", told, subscribed, client.state]);
  });
  client.connect();
}
