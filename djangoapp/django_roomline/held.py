"""`hold` and `stream`: answers that the gateway in front of Django keeps open, without a worker."""

from typing import TYPE_CHECKING, Final, Literal, cast

from django.http import HttpRequest, HttpResponse
from roomline.holding import HOLD_HEADER, POSITION_HEADER, Hold, Mode, write
from roomline.wire import shorten

from django_roomline.identity import user_id_of

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser

    from django_roomline.models import AnyUser

NO_GATEWAY: Final = (
    "This answer waits for a room, which takes a Roomline gateway in front of Django, and the"
    " request has not come through one. Use the address that runroomline prints, or give the"
    " gateway the setting upstream and send visitors to the gateway."
)


def hold(
    request: HttpRequest,
    room: str,
    timeout: float = 25.0,
    *,
    since: str | None = None,
    response: HttpResponse | None = None,
    user: "AnyUser | None" = None,
) -> HttpResponse:
    """An answer that the gateway gives when the room's next publication comes.

    Who may call the view may read the room: the gateway asks nobody else. The visitor gets JSON::

        {"room": "chat.lobby", "position": "...", "recovered": true, "publications": [...]}

    with the publications as clients of the gateway get them, and the position also in the header
    ``Roomline-Position``. After `timeout` seconds (0 to 120) there are none in it; or the visitor
    gets `response` instead, whose body may have 65536 bytes. Headers and cookies of what is
    returned here are the visitor's in any case.

    `since` is the position of an earlier answer: what came after it is answered at once. The
    default is where the room stood when this request reached the gateway, so that nothing is
    missed that is published while the view runs. ``recovered`` is false, with a ``reason``, if
    nothing can be continued from there; then the visitor reads anew what there is.

    When the room's rights change, or those of `user` are revoked, it ends as if the time were over,
    and the next request is decided by the view. The default is the request's user; in an async
    view, where Django does not let that be asked for, give ``await request.auser()``.

    Raises `roomline.wire.InvalidName` for the room and `roomline.holding.InvalidHold` for the
    time. Without a gateway in front the answer is 501, and says so.
    """
    if since is None:
        since = position_of(request)
    held = response if response is not None else HttpResponse(content_type="application/json")
    wanted = Hold("hold", room, timeout, since, answer=response is not None)
    return _held(request, wanted, held, user)


def stream(
    request: HttpRequest,
    room: str,
    timeout: float = 300.0,
    *,
    since: str | None = None,
    format: Literal["sse", "json-lines"] = "sse",
    user: "AnyUser | None" = None,
) -> HttpResponse:
    """An answer that carries the room's publications as they come, for `timeout` seconds
    (0 to 3600).

    With ``sse`` they are server-sent events whose id is the position, for a browser's
    ``EventSource``; it comes back by itself when the time is over, and this view decides again.
    With ``json-lines`` each line is a JSON object. The first event, or line, is ``subscribed``
    and has ``room``, ``position`` and ``recovered``.

    `since` is the position after which it begins. The default is the request's ``Last-Event-ID``,
    and without one where the room stood when the request reached the gateway.

    It ends early, and raises, like `hold`.
    """
    if since is None:
        since = request.headers.get("Last-Event-ID") or position_of(request)
    mode: Mode = format
    return _held(request, Hold(mode, room, timeout, since), HttpResponse(), user)


def position_of(request: HttpRequest) -> str | None:
    """Where the log stood when the request reached the gateway.

    A page that shows what Django has read for this request can `hold` or `stream` from there
    without a gap. None without a gateway in front, and while the gateway has not read its log.
    """
    return request.headers.get(POSITION_HEADER) or None


def _held(
    request: HttpRequest, hold: Hold, response: HttpResponse, user: "AnyUser | None"
) -> HttpResponse:
    if user is None:
        user = getattr(request, "user", None)
    if user is not None and user.is_authenticated:
        hold = hold._replace(user=user_id_of(cast("AbstractBaseUser", user)))
    header = write(hold)
    if POSITION_HEADER not in request.headers:
        return HttpResponse(NO_GATEWAY, content_type="text/plain; charset=utf-8", status=501)
    if response.streaming:
        raise ValueError(f"response is {shorten(response)}, which streams: its body must be there")
    response.headers[HOLD_HEADER] = header
    response.headers.setdefault("Cache-Control", "no-store")
    return response
