"""`roomline.client.frames`: SockJS frames and addresses."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from roomline.client.frames import (
    Closed,
    FrameError,
    Heartbeat,
    Messages,
    Opened,
    messages_text,
    parse,
    session_url,
)


@pytest.mark.parametrize(
    ("text", "frame"),
    [
        ("o", Opened()),
        ("h", Heartbeat()),
        ("h" * 2048, Heartbeat()),
        ('a["x"]', Messages(["x"])),
        ('a["x","\\u2028"]', Messages(["x", "\u2028"])),
        ('c[3000,"Go away!"]', Closed(3000, "Go away!")),
    ],
)
def test_frames(text: str, frame: object) -> None:
    assert parse(text) == frame


@pytest.mark.parametrize(
    "text",
    ["", "x", "oo", "ho", "a", "a{}", "a[1]", 'a["x"', "c", "c[3000]", 'c["3000","x"]', 'm"x"'],
)
def test_what_is_no_frame_is_named(text: str) -> None:
    with pytest.raises(FrameError, match=re.escape(repr(text))):
        parse(text)


@given(st.lists(st.text()))
def test_messages_survive_both_ways(texts: list[str]) -> None:
    assert json.loads(messages_text(texts)) == texts
    assert parse("a" + messages_text(texts)) == Messages(texts)


def test_every_session_has_its_own_address() -> None:
    urls = {session_url("http://host/realtime/") for _ in range(100)}
    assert len(urls) == 100
    assert all(re.fullmatch(r"http://host/realtime/\d{3}/[0-9a-f]{24}", url) for url in urls)
