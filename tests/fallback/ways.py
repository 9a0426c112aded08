"""What stands between a page and its gateway: each way to be blocked, by name."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support import transportproxy as proxy
from tests.support.nginx import Nginx

_SAME_ORIGIN = "proxy_set_header Host $http_host;"

_BUFFERING = f"""
    {_SAME_ORIGIN}
    # The gateway asks proxies not to buffer; this one does not listen.
    proxy_ignore_headers X-Accel-Buffering;
"""

WITHOUT_WEBSOCKET = ("WebSocket",)


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way to be blocked."""

    name: str
    without: tuple[str, ...] = ()
    """What the browser lacks."""
    faults: dict[str, proxy.Fault] = field(default_factory=dict)
    """What the proxy does, by the last part of a request's path."""
    nginx: str | None = None
    """If set, nginx stands between the proxy and the gateway, with these directives."""

    @property
    def slug(self) -> str:
        """The name as a word."""
        return self.name.replace(" ", "-").replace(",", "")

    @asynccontextmanager
    async def to(self, port: int, folder: Path) -> AsyncIterator[proxy.TransportProxy]:
        """The way to a port of this machine. A new folder is made in `folder` if need be."""
        nginx = None if self.nginx is None else Nginx(folder / self.slug, port, self.nginx)
        try:
            target = port if nginx is None else nginx.port
            async with proxy.TransportProxy.to(target) as front:
                front.faults.update(self.faults)
                yield front
        finally:
            if nginx is not None:
                nginx.close()


def _blocked(name: str, fault: proxy.Fault) -> Way:
    return Way(name=f"websocket {name}", faults={"websocket": fault})


OPEN = Way(name="nothing in the way")
NO_WEBSOCKET = Way(name="no WebSocket object", without=WITHOUT_WEBSOCKET)
REFUSED = _blocked("refused", proxy.REFUSED)
HANGING = _blocked("never answered", proxy.HANGING)
CUT_AT_ONCE = _blocked("cut after the handshake", proxy.CUT_AT_ONCE)
CUT_AFTER_2 = _blocked("cut after 2 s", proxy.cut_after(2))
SWALLOWED = _blocked("swallowed after the handshake", proxy.SWALLOWED)
GREETED = _blocked("swallowed after it has opened", proxy.WEBSOCKET_GREETED)
LUMPS = _blocked("in lumps, 5 s apart", proxy.lumps(5))
BUFFERED = Way(
    name="no WebSocket object, streaming buffered by nginx",
    without=WITHOUT_WEBSOCKET,
    nginx=_BUFFERING,
)
REFUSED_AND_BUFFERED = Way(name="websocket refused, streaming buffered by nginx", nginx=_BUFFERING)
HANGING_AND_BUFFERED = Way(
    name="websocket never answered, streaming buffered by nginx",
    faults={"websocket": proxy.HANGING},
    nginx=_BUFFERING,
)
FALLS_SILENT = Way(
    name="websocket and streaming swallowed amid a publication",
    faults={
        "websocket": proxy.Fault(passes=b"text 4"),
        "xhr_streaming": proxy.Fault(passes=b"text 8"),
    },
)
GATHERS_LATER = Way(
    name="websocket and streaming in lumps, 2 s apart, from some publication on",
    faults={
        "websocket": proxy.Fault(passes=b"text 4", lumps=2),
        "xhr_streaming": proxy.Fault(passes=b"text 30", lumps=2),
    },
)
NGINX_AS_IT_COMES = Way(name="nginx as it comes", nginx=_SAME_ORIGIN)
ONLY_POLLING = Way(
    name="websocket and streaming swallowed after they have opened",
    faults={
        "websocket": proxy.WEBSOCKET_GREETED,
        "xhr_streaming": proxy.STREAM_GREETED,
        "eventsource": proxy.STREAM_GREETED,
    },
)
