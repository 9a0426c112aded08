"""The archive as JSON, for the pages of this site: what is older than a gateway's history."""

import json

from django.http import HttpRequest, HttpResponse
from roomline.wire import NOTICES_ROOM, InvalidName, check_room, user_room

from django_roomline.archive_pages import MAX_LIMIT, page
from django_roomline.identity import Visitor
from django_roomline.policy import may
from django_roomline.views import refusal, visitor_view

DEFAULT_LIMIT = 50


@visitor_view
def archive(request: HttpRequest, visitor: Visitor, generation: int, room: str) -> HttpResponse:
    """A page of a room: ``{"room", "publications", "more", "complete"}``.

    Parameters: ``before`` or ``until``, a position, and ``limit``, 1 to 100. `publications` are
    like those that a gateway pushes, the oldest first. Without ``complete`` the archive has not
    come to the position yet: ask again a little later.

    Answers 400 to a malformed parameter and 403 if the visitor may not read the room.
    """
    try:
        check_room(room)
    except InvalidName as error:
        return refusal(400, "room_invalid", str(error))
    before, until = request.GET.get("before"), request.GET.get("until")
    if before is not None and until is not None:
        return refusal(400, "bad_request", "before and until exclude each other")
    limit = request.GET.get("limit", str(DEFAULT_LIMIT))
    if not (limit.isascii() and limit.isdecimal() and 1 <= len(limit) <= 3) or not (
        1 <= int(limit) <= MAX_LIMIT
    ):
        reason = f"limit is {limit[:20]!r}, accepted is 1 to {MAX_LIMIT}"
        return refusal(400, "bad_request", reason)
    # The rooms that every client of theirs hears without asking.
    automatic = (NOTICES_ROOM, user_room(visitor.id))
    if room not in automatic and not may(request.user, room, "read"):
        return refusal(403, "forbidden", f"room {room} is not for you")
    try:
        found = page(room, int(limit), before=before, until=until)
    except ValueError as error:
        return refusal(400, "bad_request", str(error))
    # They are JSON already.
    publications = ",".join(found.publications)
    more, complete = json.dumps(found.more), json.dumps(found.complete)
    return HttpResponse(
        f'{{"room":"{room}","publications":[{publications}],"more":{more},"complete":{complete}}}',
        content_type="application/json",
    )
