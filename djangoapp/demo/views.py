"""The index of rooms, the room page, and the name that a guest chooses."""

from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_GET, require_POST
from django_roomline.admin_log import ADMIN_LOG
from django_roomline.identity import MAX_NAME, name_guest, visitor_of
from django_roomline.models import Audience, Room
from django_roomline.policy import may


@require_GET
def rooms(request: HttpRequest) -> HttpResponse:
    """The rooms that the visitor may read."""
    readable = Room.objects.filter(readers__in=Audience.of(request.user))
    return _page(request, "demo/rooms.html", rooms=readable)


@require_GET
def room(request: HttpRequest, name: str) -> HttpResponse:
    """The chat in one room; messages are the gateway's affair."""
    record = get_object_or_404(Room, name=name)
    if not record.allows(request.user, "read"):
        return _refused(request)
    return _page(
        request, "demo/room.html", room=record, may_write=record.allows(request.user, "write")
    )


@require_GET
def log(request: HttpRequest) -> HttpResponse:
    """What happens on the site, as it happens: a room for staff, that has no model."""
    if not may(request.user, ADMIN_LOG, "read"):
        return _refused(request)
    shown = {"name": ADMIN_LOG, "title": "What happens"}
    return _page(request, "demo/room.html", room=shown, may_write=False)


@require_POST
def guest_name(request: HttpRequest) -> HttpResponse:
    """Take the name that a guest wants to be seen under, and go back to the page."""
    name_guest(request, request.POST.get("name", ""))
    back = request.POST.get("next", "")
    if not url_has_allowed_host_and_scheme(back, {request.get_host()}, request.is_secure()):
        back = "rooms"
    return redirect(back)


def _refused(request: HttpRequest) -> HttpResponse:
    """To the login, for who may be let in then."""
    if request.user.is_authenticated:
        raise PermissionDenied
    return redirect_to_login(request.get_full_path())


def _page(request: HttpRequest, template: str, **context: object) -> HttpResponse:
    shared = {"visitor": visitor_of(request), "max_name": MAX_NAME}
    return render(request, template, shared | context)
