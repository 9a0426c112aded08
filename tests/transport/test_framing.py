"""Frames as text and bytes."""

import json
import re
from itertools import chain, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from roomline.core.outbox import Encoded, Outbox
from roomline.transport import framing

ANY_TEXT = st.text(st.characters(exclude_categories=()))


@given(ANY_TEXT)
def test_quoted_text_is_the_same_text_in_json(text: str) -> None:
    quoted = framing.quote(text)
    # Halves of surrogate pairs stay halves, unless two of them meet.
    assert json.loads(quoted) == json.loads(json.dumps(text))
    quoted.encode()  # it can be sent at all
    assert not re.search("[\0-\x1f\u2028\u2029\ufff0-\uffff]", quoted)


@pytest.mark.parametrize(
    ("size", "head"),
    [
        (0, "8100"),
        (125, "817d"),
        (126, "817e007e"),
        (65_535, "817effff"),
        (65_536, "817f0000000000010000"),
    ],
)
def test_websocket_frames(size: int, head: str) -> None:
    assert framing.data_frame(b"x" * size) == bytes.fromhex(head) + b"x" * size


def test_close_frames() -> None:
    assert framing.close_frame(3000, 'a "b"\n') == r'c[3000,"a \"b\"\n"]'


@given(st.lists(st.text(max_size=50), min_size=1), st.integers(1, 200))
def test_taking_part_of_an_outbox(texts: list[str], limit: int) -> None:
    outbox = Outbox(10**9)
    for text in texts:
        assert outbox.put(Encoded(text))
    taken: list[list[str]] = []
    while outbox.items:
        messages = framing.take(outbox, limit)
        assert len(messages) == 1 or len(framing.messages_frame(messages).encode()) <= limit + 2
        assert outbox.size == sum(message.size for message in outbox.items)
        taken.append([message.text for message in messages])
    assert list(chain.from_iterable(taken)) == texts
    for first, second in pairwise(taken):
        frame = framing.messages_frame([Encoded(text) for text in [*first, second[0]]])
        # What is escaped beyond JSON counts for two more than its six.
        assert len(frame.encode()) + 2 * frame.count("\\u") > limit


@given(st.lists(ANY_TEXT))
def test_a_body_gives_its_messages(texts: list[str]) -> None:
    expected = json.loads(json.dumps(texts))
    assert framing.decode_body(json.dumps(texts).encode()) == expected
    assert framing.decode_frame(json.dumps(texts)) == expected


@given(st.binary())
def test_no_body_does_harm(body: bytes) -> None:
    try:
        messages = framing.decode_body(body)
    except framing.MalformedBody:
        return  # anything else would be a fault
    assert all(isinstance(text, str) for text in messages)


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        (b"", "Payload expected."),
        (b"{}", "Payload expected."),
        (b"null", "Payload expected."),
        (b'"abc"', "Payload expected."),
        (b'["a", 1]', "Payload expected."),
        (b'[["a"]]', "Payload expected."),
        (b"[", "Broken JSON encoding."),
        (b"[" * 100_000, "Broken JSON encoding."),
        (b"[" + b"9" * 10_000 + b"]", "Broken JSON encoding."),
        (b'["\xff"]', "Broken JSON encoding."),
    ],
)
def test_other_bodies_are_refused(body: bytes, answer: str) -> None:
    with pytest.raises(framing.MalformedBody, match=re.escape(answer)):
        framing.decode_body(body)


@given(st.text(), st.integers(0, 50))
def test_lengths_are_compared_in_bytes(text: str, limit: int) -> None:
    assert framing.longer_than(text, limit) == (len(text.encode()) > limit)
