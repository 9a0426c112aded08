"""The template tag: what a page gets, and that nothing in it can be executed."""

import json
import re
from typing import Any

from django.contrib.staticfiles import finders
from django.template import Context, Template
from django.test import Client


def rendered() -> str:
    return Template("{% load roomline %}{% roomline_config %}").render(Context())


def test_the_configuration_is_json_in_an_element() -> None:
    match = re.match(
        r'<script id="roomline-config" type="application/json">(.*?)</script>', rendered()
    )
    assert match
    assert json.loads(match[1]) == {
        "endpoints": ["http://127.0.0.1:8001/roomline"],
        "tokenUrl": "/roomline/token",
        "roomTokenUrl": "/roomline/room-token",
    }


def test_the_same_is_had_as_json(client: Client, roomline: Any) -> None:
    roomline(ARCHIVE={})
    answer = client.get("/roomline/config")
    assert answer.json() == {
        "endpoints": ["http://127.0.0.1:8001/roomline"],
        "tokenUrl": "/roomline/token",
        "roomTokenUrl": "/roomline/room-token",
        "archiveUrl": "/roomline/archive/",
    }
    assert client.post("/roomline/config").status_code == 405


def test_markup_in_a_setting_stays_text(roomline: Any, monkeypatch: Any) -> None:
    # No setting can hold markup today; the tag does not rely on that.
    monkeypatch.setattr("django_roomline.pages.reverse", lambda name: "</script>")
    assert rendered().count("</script>") == 3


def test_the_scripts_are_files_that_are_there() -> None:
    sources = re.findall(r'<script src="/static/([^"]+)"></script>', rendered())
    assert sources == ["roomline/vendor/sockjs.min.js", "roomline/roomline.umd.js"]
    for source in sources:
        assert finders.find(source), source
