"""The demo's Content-Security-Policy: own files only, and the gateway."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django_roomline import conf


class ContentSecurityPolicyMiddleware:
    """Sends the header with every response."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response
        gateway = " ".join(conf.current().connect_sources())
        self._policy = "; ".join(
            [
                "default-src 'none'",
                "script-src 'self'",
                "style-src 'self'",
                "img-src 'self'",
                f"connect-src 'self' {gateway}",
                "form-action 'self'",
                "frame-ancestors 'none'",
                "base-uri 'none'",
            ]
        )

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self._get_response(request)
        response.headers["Content-Security-Policy"] = self._policy
        return response
