/*
 * Runs the scenario in PhantomJS: url, transport ("any": what gets through), and the paths of the
 * scripts to load, in order.
 * Writes one JSON value a line; an error in the page ends it with status 1.
 */

var system = require("system");
var webpage = require("webpage");

var url = system.args[1];
var transport = system.args[2];
var scripts = system.args.slice(3);

var page = webpage.create();

function tell(value) {
  system.stdout.writeLine(JSON.stringify(value));
}

function fail(message) {
  system.stderr.writeLine(String(message));
  phantom.exit(1);
}

phantom.onError = fail;
page.onError = function (message, trace) {
  fail(message + "\n" + JSON.stringify(trace));
};
// As text: the bridge between page and script turns null into "".
page.onCallback = function (text) {
  system.stdout.writeLine(text);
  if (JSON.parse(text)[0] === "done") phantom.exit(0);
};
page.onInitialized = function () {
  if (transport === "websocket" || transport === "any") return;
  page.evaluate(function () {
    window.WebSocket = undefined;
  });
};

// Any page of the gateway will do: it is the origin that counts.
page.open(url, function (status) {
  if (status !== "success") return fail("cannot open " + url);
  var globals = page.evaluate(function () {
    return Object.getOwnPropertyNames(window);
  });
  for (var i = 0; i < scripts.length; i++) {
    if (!page.injectJs(scripts[i])) return fail("cannot load " + scripts[i]);
  }
  tell(["engine", page.evaluate(
    function (before) {
      return [
        typeof Promise,
        Object.getOwnPropertyNames(window).filter(function (name) {
          return before.indexOf(name) < 0;
        })
      ];
    },
    globals
  )]);
  page.evaluate(
    function (url, transport) {
      scenario(Roomline, url, transport === "any" ? {} : { transports: [transport] }, function (value) {
        window.callPhantom(JSON.stringify(value));
      });
    },
    url,
    transport
  );
});
