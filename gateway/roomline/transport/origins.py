"""Which pages may speak to an endpoint, and what their browsers are told about it."""

from collections.abc import Collection

OWN_PAGES = "frame-ancestors 'self'"
"""The policy that lets nobody else embed a page."""

_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def own_origin(scheme: str, host: str) -> str:
    """The origin of pages that the same server serves: scheme, host, and port unless default."""
    return f"{scheme}://{host}".lower().removesuffix(_DEFAULT_PORTS.get(scheme, ":"))


class Origins:
    """An allow-list of exact origins; the endpoint's own origin is always on it.

    A request without an ``Origin`` header is let through: browsers send one wherever a foreign
    page could speak or listen, and programs can send what they like.
    """

    def __init__(self, allowed: Collection[str]) -> None:
        self._listed = frozenset(origin.lower() for origin in allowed if origin != "*")
        self._any = "*" in allowed

    def admits(self, origin: str | None, own: str) -> bool:
        """Whether a page from `origin` may use the endpoint whose own origin is `own`."""
        return origin is None or self._any or self._trusts(origin, own)

    def headers(self, origin: str | None, own: str) -> dict[str, str]:
        """CORS headers for the answer to an admitted request.

        Only origins that are named get credentials, and only they are repeated.
        """
        if origin is not None and self._trusts(origin, own):
            return {
                "Access-Control-Allow-Origin": origin,
                "Access-Control-Allow-Credentials": "true",
            }
        return {"Access-Control-Allow-Origin": "*"} if self._any else {}

    def frame_ancestors(self) -> str | None:
        """Who may embed the iframe page, as a Content-Security-Policy; None: everybody.

        The page connects from inside the endpoint's own origin for the page around it, which
        would otherwise be a way around the allow-list.
        """
        if self._any:
            return None
        hosts = sorted(origin for origin in self._listed if "://" in origin)
        return " ".join([OWN_PAGES, *hosts])

    def _trusts(self, origin: str, own: str) -> bool:
        return origin.lower() == own or origin.lower() in self._listed
