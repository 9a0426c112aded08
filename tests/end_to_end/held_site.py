"""A Django site, as WSGI servers import it, whose views are held, streamed, slow or large."""

import hashlib
import os
import time
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import etag

settings.configure(
    SECRET_KEY="only for tests",
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    USE_TZ=True,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "django_roomline"],
    # What stands around views elsewhere must not be in the way.
    MIDDLEWARE=[
        "django.middleware.gzip.GZipMiddleware",
        "django.middleware.http.ConditionalGetMiddleware",
        "django.middleware.common.CommonMiddleware",
    ],
    SECURE_PROXY_SSL_HEADER=("HTTP_X_FORWARDED_PROTO", "https"),
    USE_X_FORWARDED_HOST=True,
    ROOMLINE={
        "BROKER": os.environ["SITE_BROKER"],
        "KEYS": {"test": "t" * 32},
        "ENDPOINTS": ["/roomline"],
    },
)
application = get_wsgi_application()

# What follows imports models.
from django_roomline import hold, position_of, publish, stream  # noqa: E402


def wait(request: HttpRequest) -> HttpResponse:
    """Hold; ``own`` asks for an answer of Django's when the time is over."""
    seconds = float(request.GET.get("timeout", "25"))
    own = HttpResponse(f"nothing new {'.' * 500}") if "own" in request.GET else None
    response = hold(request, "chat.a", seconds, since=request.GET.get("since"), response=own)
    response.set_cookie("seen", "yes")
    return response


def events(request: HttpRequest) -> HttpResponse:
    return stream(request, "chat.a", timeout=float(request.GET.get("timeout", "60")))


def lines(request: HttpRequest) -> HttpResponse:
    return stream(request, "chat.a", format="json-lines")


def read_and_publish(request: HttpRequest) -> HttpResponse:
    """Publish after the request came, as another worker might, and then answer."""
    publish("chat.a", "while the view ran")
    return hold(request, "chat.a")


def page(request: HttpRequest) -> HttpResponse:
    """Who asks, as Django sees it, and where the log stands."""
    return JsonResponse(
        {
            "host": request.get_host(),
            "secure": request.is_secure(),
            "client": request.headers.get("X-Forwarded-For"),
            "position": position_of(request),
            "pid": os.getpid(),
        }
    )


def chunks(request: HttpRequest) -> StreamingHttpResponse:
    """Five pieces, a second apart."""

    def pieces() -> Iterator[bytes]:
        for number in range(5):
            if number:
                time.sleep(1)
            yield b"%d" % number

    return StreamingHttpResponse(pieces(), content_type="text/plain")


def download(request: HttpRequest, size: int) -> StreamingHttpResponse:
    """So many bytes, with their number in the head."""
    pieces = (b"x" * min(65536, size - done) for done in range(0, size, 65536))
    response = StreamingHttpResponse(pieces, content_type="application/octet-stream")
    response["Content-Length"] = str(size)
    return response


@csrf_exempt
def upload(request: HttpRequest) -> HttpResponse:
    """The length and the hash of the body."""
    digest, size = hashlib.sha256(), 0
    while part := request.read(65536):
        digest.update(part)
        size += len(part)
    return JsonResponse({"size": size, "sha256": digest.hexdigest()})


@etag(lambda request: '"same"')
def same(request: HttpRequest) -> HttpResponse:
    """A page that does not change."""
    return HttpResponse("the same")


def sleep(request: HttpRequest, seconds: int) -> HttpResponse:
    """Keep the worker busy."""
    time.sleep(seconds)
    return HttpResponse("slept")


urlpatterns: list[Any] = [
    path("", page),
    path("wait", wait),
    path("events", events),
    path("lines", lines),
    path("publish", read_and_publish),
    path("chunks", chunks),
    path("download/<int:size>", download),
    path("upload", upload),
    path("same", same),
    path("sleep/<int:seconds>", sleep),
]
