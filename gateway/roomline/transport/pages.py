"""The constant pages of an endpoint, and the information that clients ask for first."""

import json
import secrets
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from roomline.transport.handlers import Handler
from roomline.transport.origins import OWN_PAGES

if TYPE_CHECKING:
    from roomline.transport.endpoint import Endpoint

SOCKJS_VERSION: Final = "1.6.1"
OLD_SOCKJS_VERSION: Final = "0.3.4"

_STATIC: Final = Path(__file__).parent / "static"
CLIENTS: Final = {
    SOCKJS_VERSION: (_STATIC / "sockjs.min.js").read_bytes(),
    OLD_SOCKJS_VERSION: (_STATIC / "sockjs-0.3.4.min.js").read_bytes(),
}
"""The endpoint's own copies of sockjs-client, by their versions."""


def client_path(version: str) -> str:
    """Where below the prefix the endpoint serves its copy of that version."""
    return f"/sockjs-{version}.min.js"


CLIENT_PATH: Final = client_path(SOCKJS_VERSION)

FRAME_PATH: Final = "/sockjs-frame.js"
"""Where the script of the iframe page is."""

# The frame has to run exactly the version that the page around it runs, and all versions ask for
# the same page. But each has its own form of messages between page and frame and does not
# understand another's: so the frame runs them all, and the right one answers.
FRAME_SCRIPT: Final = b"\n".join(
    [
        b"var clients = [], SockJS;",
        *(client + b"\n;clients.push(SockJS);" for client in CLIENTS.values()),
        b"SockJS = {bootstrap_iframe: function () {",
        b"  for (var i = 0; i < clients.length; i++) clients[i].bootstrap_iframe();",
        b"}};\n",
    ]
)

_IFRAME: Final = """<!DOCTYPE html>
<html>
<head>
  <meta http-equiv="X-UA-Compatible" content="IE=edge" />
  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />
  <script src="%s"></script>
  <script>
    document.domain = document.domain;
    SockJS.bootstrap_iframe();
  </script>
</head>
<body>
  <h2>Don't panic!</h2>
  <p>This is a SockJS hidden iframe. It's used for cross domain magic.</p>
</body>
</html>
"""


class Page(Handler, ABC):
    """A public page that never changes."""

    methods = ("GET", "HEAD")
    guarded = False
    content_type = "text/plain; charset=UTF-8"

    def get(self, *args: str, **kwargs: str) -> None:
        self.cache()
        self.set_header("Content-Type", self.content_type)
        self.write(self.content())

    def head(self, *args: str, **kwargs: str) -> None:
        self.get()

    @abstractmethod
    def content(self) -> str | bytes:
        """The page."""

    def compute_etag(self) -> str | None:
        # Past our own Handler, whose answers have none.
        return super(Handler, self).compute_etag()


class GreetingPage(Page):
    def content(self) -> str | bytes:
        return "Welcome to SockJS!\n"


class Script(Page):
    """sockjs-client, for pages and for the frame."""

    content_type = "application/javascript; charset=UTF-8"

    def initialize(self, server: "Endpoint", script: bytes = b"") -> None:
        super().initialize(server)
        self._script = script

    def content(self) -> str | bytes:
        return self._script


class IframePage(Page):
    """The page that old browsers load in a hidden iframe to connect from the right origin."""

    content_type = "text/html; charset=UTF-8"

    def content(self) -> str | bytes:
        ancestors = self.server.origins.frame_ancestors()
        if ancestors is not None:
            self.set_header("Content-Security-Policy", ancestors)
        if ancestors == OWN_PAGES:
            self.set_header("X-Frame-Options", "SAMEORIGIN")  # for those that know no policy
        options = self.server.options
        return _IFRAME % (options.sockjs_url or options.prefix + FRAME_PATH)


class Info(Handler):
    """What the endpoint can do; the client also takes the round trip's time from it."""

    def get(self) -> None:
        self.do_not_cache()
        self.set_header("Content-Type", "application/json; charset=UTF-8")
        options = self.server.options
        info: dict[str, Any] = {
            "websocket": "websocket" in options.transports,
            "cookie_needed": options.jsessionid,
            "origins": ["*:*"],
            "entropy": secrets.randbits(32),
        }
        self.write(json.dumps(info))


class NotFound(Handler):
    """Every other path below the prefix."""

    guarded = False

    def prepare(self) -> None:
        self.answer(404)
