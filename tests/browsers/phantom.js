/* Opens a page in PhantomJS and keeps it open; arguments: the URL, and the folder to which a
 * picture goes every second. */

var system = require("system");
var page = require("webpage").create();

page.viewportSize = { width: 900, height: 640 };
page.onError = function (message) {
  system.stderr.writeLine("error in the page: " + message);
};
page.open(system.args[1], function (status) {
  if (status !== "success") {
    system.stderr.writeLine("cannot open " + system.args[1]);
    phantom.exit(1);
  }
  setInterval(function () {
    page.render(system.args[2] + "/page.png");
  }, 1000);
});
