"""A gateway and the tests' page at one origin, behind a proxy that can cut the gateway off."""

import asyncio

from tests.browsers.site import Site
from tests.support.proxy import Proxy


class Front(Proxy):
    """Connections that begin by asking for the page, or for what it loads, go to the site."""

    site: Site

    async def _route(self, reader: asyncio.StreamReader) -> tuple[int, bytes]:
        begun = await reader.read(65536)
        of_the_page = begun.startswith((b"GET /page ", b"GET /scripts/", b"GET /talk/"))
        return (self.site.port if of_the_page else self.target), begun

    def origin(self, host: str) -> str:
        """This proxy's origin by one of the names of the loopback interface."""
        return f"http://{host}:{self.port}"
