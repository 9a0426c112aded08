"""The constant pages of an endpoint, and the information that clients ask for first."""

import json
import secrets
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Final

from roomline.transport.handlers import Handler

SOCKJS_VERSION: Final = "1.6.1"
CLIENT_PATH: Final = f"/sockjs-{SOCKJS_VERSION}.min.js"
"""Where below the prefix the endpoint serves its own copy of sockjs-client."""

_CLIENT: Final = (Path(__file__).parent / "static" / "sockjs.min.js").read_bytes()

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
        self.set_header("X-Content-Type-Options", "nosniff")
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


class ClientScript(Page):
    """sockjs-client, for iframes: they must run exactly the version that the page around runs."""

    content_type = "application/javascript; charset=UTF-8"

    def content(self) -> str | bytes:
        return _CLIENT


class IframePage(Page):
    """The page that old browsers load in a hidden iframe to connect from the right origin."""

    content_type = "text/html; charset=UTF-8"

    def content(self) -> str | bytes:
        ancestors = self.server.origins.frame_ancestors()
        if ancestors is not None:
            self.set_header("Content-Security-Policy", ancestors)
        return _IFRAME % self.server.sockjs_url


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
