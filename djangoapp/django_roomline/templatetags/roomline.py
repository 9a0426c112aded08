"""``{% load roomline %}{% roomline_config %}``: all that a page needs to use the client."""

from django import template
from django.templatetags.static import static
from django.urls import reverse
from django.utils.html import format_html, json_script
from django.utils.safestring import SafeString

from django_roomline import conf

register = template.Library()

CONFIG_ID = "roomline-config"


@register.simple_tag
def roomline_config() -> SafeString:
    """The page's configuration as JSON in an element, and the scripts of the client.

    The element has the id ``roomline-config`` and holds ``endpoints``, ``tokenUrl``,
    ``roomTokenUrl`` and, where there is an archive, ``archiveUrl``. Nothing in it is executable: a
    Content-Security-Policy of ``script-src 'self'`` lets the page work.
    """
    settings = conf.current()
    config: dict[str, object] = {
        "endpoints": list(settings.endpoints),
        "tokenUrl": reverse("roomline:token"),
        "roomTokenUrl": reverse("roomline:room-token"),
    }
    if settings.archive is not None:
        # The client appends the room's name.
        config["archiveUrl"] = reverse("roomline:archive", args=["room"]).removesuffix("room")
    return format_html(
        '{}\n<script src="{}"></script>\n<script src="{}"></script>',
        json_script(config, CONFIG_ID),
        static("roomline/vendor/sockjs.min.js"),
        static("roomline/roomline.umd.js"),
    )
