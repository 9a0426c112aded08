"""``{% load roomline %}{% roomline_config %}``: all that a page needs to use the client."""

from django import template
from django.templatetags.static import static
from django.utils.html import format_html, json_script
from django.utils.safestring import SafeString

from django_roomline import conf
from django_roomline.pages import page_config

register = template.Library()

CONFIG_ID = "roomline-config"


@register.simple_tag
def roomline_inspectors() -> tuple[str, ...]:
    """The addresses of the gateways' inspectors. Whoever opens one needs a token of its own."""
    return conf.current().inspectors


@register.simple_tag
def roomline_config() -> SafeString:
    """The page's configuration as JSON in an element, and the scripts of the client.

    The element has the id ``roomline-config`` and holds what `pages.page_config` says. Nothing in
    it is executable: a Content-Security-Policy of ``script-src 'self'`` lets the page work.
    """
    return format_html(
        '{}\n<script src="{}"></script>\n<script src="{}"></script>',
        json_script(page_config(), CONFIG_ID),
        static("roomline/vendor/sockjs.min.js"),
        static("roomline/roomline.umd.js"),
    )
