"""What transports have in common that reach a page as scripts: jsonp-polling and htmlfile.

A browser runs a script from anywhere in the page that names it, and says no `Origin` when it asks
for one. So the address of that page, the `Referer`, has to say where it is from, and a request
without one is refused.
"""

import re
from typing import ClassVar, Final
from urllib.parse import urlsplit

from roomline.transport.handlers import Handler, origin_of
from roomline.transport.origins import own_origin

# Names of functions, such as ``_jp.a1b2c3``: nothing of it can end a script or begin another.
_CALLBACK: Final = re.compile(rb"[A-Za-z0-9_.-]{1,128}")
_UNKNOWN_PAGE: Final = "null"


class ScriptedHandler(Handler):
    """A handler whose answers, or whose form's answers, a browser takes from anywhere."""

    varies: ClassVar[str] = "Origin, Referer"

    def page(self) -> str | None:
        origin = origin_of(self)
        if origin is not None:
            return origin
        try:
            referer = urlsplit(self.request.headers.get("Referer", ""))
        except ValueError:
            return _UNKNOWN_PAGE
        if referer.scheme not in ("http", "https") or not referer.netloc:
            return _UNKNOWN_PAGE
        return own_origin(referer.scheme, referer.netloc)

    def callback(self) -> str | None:
        """The page's function that is to be called. None: there is no proper one, and the request
        has been answered with that."""
        arguments = self.request.query_arguments  # as bytes: what is no text is no name either
        given = (arguments.get("c") or arguments.get("callback") or [b""])[-1]
        if _CALLBACK.fullmatch(given):
            return given.decode()
        what = 'invalid "callback" parameter' if given else '"callback" parameter required'
        self.do_not_cache()
        self.set_status(500)
        self.set_header("Content-Type", "text/plain; charset=UTF-8")
        self.finish(what)
        return None
