"""What a page must know to use the client: for the template tag, and as JSON."""

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, JsonResponse
from django.urls import reverse
from django.views.decorators.http import require_safe

from django_roomline import conf


def page_config() -> dict[str, object]:
    """``endpoints``, ``tokenUrl``, ``roomTokenUrl`` and, where there is an archive, ``archiveUrl``,
    to which the client appends a room's name."""
    settings = conf.current()
    config: dict[str, object] = {
        "endpoints": list(settings.endpoints),
        "tokenUrl": reverse("roomline:token"),
        "roomTokenUrl": reverse("roomline:room-token"),
    }
    if settings.archive is not None:
        config["archiveUrl"] = reverse("roomline:archive", args=["room"]).removesuffix("room")
    return config


@login_not_required  # pages of guests need it, too
@require_safe
def config(request: HttpRequest) -> JsonResponse:
    """The same for pages that no template of this project makes. There is no secret in it."""
    return JsonResponse(page_config())
