"""The codec: golden frames both ways, and a ProtocolError for everything that is no command."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from roomline.core.codec import ProtocolError, decode, encode, publication_text
from roomline.core.codes import ErrorCode, Unsubscribed
from roomline.core.messages import (
    COMMANDS,
    AutomaticRoom,
    Command,
    Connect,
    Connected,
    Error,
    History,
    HistoryReply,
    Limits,
    Ping,
    Pong,
    Presence,
    Publish,
    Published,
    Reconnect,
    Refresh,
    Refreshed,
    Request,
    Response,
    Subscribe,
    Subscribed,
    TransportReport,
    TransportTrial,
    Unsubscribe,
    UnsubscribedPush,
    UnsubscribedReply,
    User,
    error,
)
from roomline.wire import Envelope, Sender, json_of

FRAMES = json.loads((Path(__file__).parents[1] / "golden" / "frames.json").read_text())
COMMAND_TEXTS = {frame["name"]: frame["text"] for frame in FRAMES["commands"]}
MESSAGE_TEXTS = {frame["name"]: frame["text"] for frame in FRAMES["messages"]}

# Commands.

CLIENT = "0123456789abcdef0123456789abcdef"
POSITION = "0.17.00f1e2d3c4b5"
TOKEN = "e30.e30.e30"
EXPECTED_COMMANDS: dict[str, Command] = {
    "connect anonymously": Connect(id=1, version=1, client=CLIENT),
    "connect with a token": Connect(id=1, version=1, token=TOKEN),
    "connect after transports have failed": Connect(
        id=1,
        version=1,
        client=CLIENT,
        transport=TransportReport(
            tried=[TransportTrial(transport="websocket", reason="unanswered", ms=4000)], ms=4250
        ),
    ),
    "subscribe live only": Subscribe(id=2, room="chat.lobby"),
    "subscribe with history": Subscribe(id=2, room="chat.lobby", history=20),
    "subscribe and recover": Subscribe(id=2, room="chat.lobby", since=POSITION),
    "subscribe with a room token": Subscribe(id=2, room="chat.secret", token=TOKEN),
    "publish": Publish(id=3, room="chat.lobby", data={"text": "héllo 😀"}),
    "publish with a key": Publish(id=3, room="chat.lobby", data=None, key="k-1"),
    "unsubscribe": Unsubscribe(id=4, room="chat.lobby"),
    "history": History(id=5, room="chat.lobby", limit=10),
    "presence": Presence(id=5, room="chat.lobby"),
    "refresh": Refresh(id=6, token=TOKEN),
    "request": Request(id=8, name="orders.cancel", data={"order": 7}),
    "request with a time-out": Request(id=8, name="orders.cancel", data=None, timeout=2.5),
    "ping": Ping(id=7),
}


@pytest.mark.parametrize("name", COMMAND_TEXTS)
def test_a_golden_command(name: str):
    assert decode(COMMAND_TEXTS[name]) == EXPECTED_COMMANDS[name]


def test_every_command_has_a_golden_frame():
    assert set(EXPECTED_COMMANDS) == set(COMMAND_TEXTS)
    assert {type(decode(text)) for text in COMMAND_TEXTS.values()} == set(COMMANDS.values())


@pytest.mark.parametrize("frame", FRAMES["malformed"], ids=lambda frame: frame["name"])
def test_a_golden_malformed_command(frame: dict[str, Any]):
    with pytest.raises(ProtocolError) as refused:
        decode(frame["text"])
    assert (refused.value.id, refused.value.code.code) == (frame["id"], frame["code"])
    assert refused.value.reason == str(refused.value) != ""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", r"not JSON: "),
        ("[1]", r"a message is one JSON object, not \[1\]"),
        ('{"id":0,"type":"ping"}', r"id is 0, accepted is a whole number from 1 to 2\^53-1"),
        ('{"id":9007199254740992,"type":"ping"}', r"id is 9007199254740992, accepted"),
        ('{"id":1.5,"type":"ping"}', r"id is 1\.5, accepted"),
        ('{"id":1,"type":"join"}', r"type is 'join', accepted are connect, subscribe, publish, "),
        ('{"id":1}', r"type is None, accepted are"),
        ('{"id":2,"type":"subscribe","room":7}', r"subscribe: Expected `str`, got `int`.*room"),
        ('{"id":3,"type":"publish","room":"a"}', r"publish: .*missing required field `data`"),
        ('{"id":3,"type":"publish","room":"a","data":1,"key":""}', r"publish: .*key"),
        ('{"id":5,"type":"history","room":"a","limit":10001}', r"history: .*<= 10000.*limit"),
        ('{"id":1,"type":"connect","version":1,"client":"0123456789abcdef\\n"}', r"client"),
        ('{"id":6,"type":"refresh","token":""}', r"refresh: .*token"),
        ('{"id":6,"type":"request","name":"a b","data":1}', r"request: .*name"),
        ('{"id":6,"type":"request","name":"a\\n","data":1}', r"request: .*name"),
        (
            '{"id":6,"type":"request","name":"a","data":1,"timeout":0}',
            r"request: .*>= 0.1.*timeout",
        ),
    ],
)
def test_the_reason_names_what_was_wrong(text: str, reason: str):
    with pytest.raises(ProtocolError, match=reason):
        decode(text)


def test_the_largest_values():
    assert decode('{"id":9007199254740991,"type":"ping"}') == Ping(id=2**53 - 1)
    key, token, since = "k" * 128, "t" * 8192, "p" * 64
    fields = {"id": 1, "type": "publish", "room": "a", "data": 1, "key": key}
    assert decode(json.dumps(fields)) == Publish(id=1, room="a", data=1, key=key)
    fields = {"id": 1, "type": "subscribe", "room": "a", "since": since, "token": token}
    assert decode(json.dumps(fields)) == Subscribe(id=1, room="a", since=since, token=token)
    for field, value in [("key", key), ("since", since), ("token", token)]:
        kind = "publish" if field == "key" else "subscribe"
        longer = {"id": 1, "type": kind, "room": "a", "data": 1, field: value + "x"}
        with pytest.raises(ProtocolError, match=field):
            decode(json.dumps(longer))


def test_unknown_fields_are_ignored():
    assert decode('{"id":7,"type":"ping","colour":"blue"}') == Ping(id=7)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
field_names = st.sampled_from(
    ["id", "type", "version", "token", "client", "room", "since", "history", "data", "key", "limit"]
)
nearly_commands = st.dictionaries(field_names, json_values, max_size=6).flatmap(
    lambda fields: st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from([*COMMANDS]),
            "id": st.integers(0, 2**53),
            "room": st.text(max_size=5),
        },
    ).map(lambda good: fields | good)
)


def decode_or_refuse(text: str) -> None:
    """Decode; a refusal must be one that can be answered with, and nothing else may be raised."""
    try:
        command = decode(text)
    except ProtocolError as error:
        reply = Error(id=error.id, code=error.code.code, reason=error.reason, temporary=False)
    else:
        assert 1 <= command.id < 2**53
        return
    assert len(encode(reply).encode()) < 2000
    assert reply.id is None or 1 <= reply.id < 2**53


@given(st.text(st.characters()))
def test_arbitrary_text_is_a_command_or_a_protocol_error(text: str):
    decode_or_refuse(text)


@given(json_values)
def test_arbitrary_json_is_a_command_or_a_protocol_error(value: Any):
    decode_or_refuse(json.dumps(value))


@given(nearly_commands, st.booleans())
def test_fields_of_any_sort_are_a_command_or_a_protocol_error(
    fields: dict[str, Any], ascii_only: bool
):
    decode_or_refuse(json.dumps(fields, ensure_ascii=ascii_only))


@pytest.mark.parametrize(
    "pattern",
    [
        "{}",
        '{{"id":{},"type":"ping"}}',
        '{{"id":1,"type":{}}}',
        '{{"id":1,"type":"subscribe","room":{}}}',
        '{{"id":1,"type":"publish","room":"a","data":{}}}',
    ],
)
def test_values_nested_to_any_depth_are_a_command_or_a_protocol_error(pattern: str):
    for depth in (*range(1, 1100, 7), 30_000):
        decode_or_refuse(pattern.format("[" * depth + "]" * depth))
        decode_or_refuse(pattern.format('{"a":' * depth + "1" + "}" * depth))


@pytest.mark.parametrize("number", ["9" * 5000, "-" + "9" * 5000, "1e999", "9" * 30, "1e-999"])
def test_numbers_of_any_size_are_a_command_or_a_protocol_error(number: str):
    decode_or_refuse(number)
    decode_or_refuse(f'{{"id":{number},"type":"ping"}}')
    decode_or_refuse(f'{{"id":1,"type":{number}}}')
    decode_or_refuse(f'{{"id":1,"type":"publish","room":"a","data":{number}}}')


# Unpaired surrogates.


def published(escaped: str) -> Any:
    command = decode(f'{{"id":3,"type":"publish","room":"a","data":"{escaped}"}}')
    assert isinstance(command, Publish)
    return command.data


@pytest.mark.parametrize(
    ("escaped", "data"),
    [
        (r"\ud83d\ude00", "😀"),
        (r"\uD83D\uDE00", "😀"),
        (r"\ud83d", "\ufffd"),
        (r"\ude00", "\ufffd"),
        (r"\ude00\ud83d", "\ufffd\ufffd"),
        (r"\ud83d\ud83d\ude00", "\ufffd😀"),
        (r"\ud83dx\ude00", "\ufffdx\ufffd"),
        (r"\ud83d\n", "\ufffd\n"),
        (r"\\ud83d", r"\ud83d"),
        (r"\\\ud83d", "\\\ufffd"),
        (r"\\\\ud83d", r"\\ud83d"),
        (r"\ud83d\\ude00", "\ufffd\\ude00"),
        ("\ud83d", "\ufffd"),
        ("\ud83d\ude00", "😀"),
        ("\ud83d\\ude00", "\ufffd\ufffd"),
    ],
    ids=ascii,
)
def test_unpaired_surrogates_are_replaced(escaped: str, data: str):
    assert published(escaped) == data


pieces = st.sampled_from(["\\", '"', "u", "d83d", "de00", "\ud83d", "\ude00", "😀", "\ufffd", "a"])


@given(st.lists(pieces, max_size=8).map("".join))
def test_any_escaped_text_comes_back_as_utf16_would_have_it(text: str):
    expected = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    assert published(json.dumps(text)[1:-1]) == expected


# Messages.

LIMITS = Limits(message_bytes=65536, subscriptions=100, history=100)
ENVELOPE = Envelope(
    room="chat.lobby",
    body=b'{"text": "hi"}',
    message_id="m-1",
    time=1_767_323_045_678,
    sender=Sender("7", "Ann"),
    key="k-1",
    publisher="roomline",
)
HERE, HEAD = "0.18.00f1e2d3c4b6", "0.17.00f1e2d3c4b5"


def pushed(envelope: Envelope, position: str, previous: str | None, trusted: bool) -> str:
    return publication_text(envelope, json_of(envelope.body), position, previous, trusted=trusted)


PUBLICATION = pushed(ENVELOPE, HERE, HEAD, True)
EXPECTED_TEXTS: dict[str, str] = {
    "connected": encode(
        Connected(
            id=1,
            version=1,
            session="s-1",
            user=User(id="7", name="Ann"),
            node="n-1",
            limits=LIMITS,
            expires_in=600,
            rooms=[AutomaticRoom(room="system.notices", position=POSITION, head=None)],
        )
    ),
    "connected anonymously": encode(
        Connected(
            id=1,
            version=1,
            session="s-1",
            user=None,
            node="n-1",
            limits=LIMITS,
            expires_in=None,
            rooms=[],
        )
    ),
    "subscribed to an empty room": encode(
        Subscribed(id=2, room="chat.lobby", position=POSITION, head=None, publications=[])
    ),
    "subscribed, recovered, one page of several": encode(
        Subscribed(
            id=2,
            room="chat.lobby",
            position=HERE,
            head=HERE,
            publications=[msgspec.Raw(PUBLICATION.encode())],
            recovered=True,
            more=True,
        )
    ),
    "subscribed, not recovered": encode(
        Subscribed(
            id=2,
            room="chat.lobby",
            position=POSITION,
            head=None,
            publications=[],
            recovered=False,
            reason="not_in_log",
        )
    ),
    "published": encode(Published(id=3, room="chat.lobby")),
    "unsubscribed reply": encode(UnsubscribedReply(id=4, room="chat.lobby")),
    "history reply": encode(
        HistoryReply(id=5, room="chat.lobby", position=POSITION, publications=[])
    ),
    "refreshed": encode(Refreshed(id=6, expires_in=600)),
    "pong": encode(Pong(id=7, sent=12, position=POSITION)),
    "response": encode(Response(id=8, data=msgspec.Raw(b'{"status":"cancelled"}'))),
    "refused request": encode(
        error(3, ErrorCode.REQUEST_FAILED, "This order has been shipped.", "shipped")
    ),
    "error": encode(
        Error(
            id=3,
            code=ErrorCode.FORBIDDEN.code,
            reason="room 'admin.log' is not for you",
            temporary=ErrorCode.FORBIDDEN.temporary,
        )
    ),
    "error without id": encode(
        Error(id=None, code="bad_request", reason="not JSON", temporary=False)
    ),
    "publication from operations": pushed(
        Envelope("system.notices", b"going down at 5", kind="system"),
        "0.19.00f1e2d3c4b7",
        None,
        False,
    ),
    "publication": PUBLICATION,
    "unsubscribed push": encode(
        UnsubscribedPush(
            room="chat.lobby",
            code=Unsubscribed.LOG_RESET.code,
            reason=Unsubscribed.LOG_RESET.meaning,
        )
    ),
    "reconnect push": encode(Reconnect(after_ms=1200)),
}


@pytest.mark.parametrize("name", MESSAGE_TEXTS)
def test_a_golden_message(name: str):
    assert EXPECTED_TEXTS[name] == MESSAGE_TEXTS[name]


def test_every_golden_message_is_made():
    assert set(EXPECTED_TEXTS) == set(MESSAGE_TEXTS)


def test_who_is_not_trusted_is_operations_without_sender_and_never_admin():
    push = json.loads(pushed(ENVELOPE._replace(kind="admin"), HERE, HEAD, False))
    assert push["origin"] == "operations"
    assert push["kind"] == "message"
    assert "sender" not in push
    push = json.loads(pushed(ENVELOPE._replace(kind="admin"), HERE, HEAD, True))
    assert (push["kind"], push["sender"]) == ("admin", {"id": "7", "name": "Ann"})
    assert "origin" not in push


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(
    st.builds(
        Envelope,
        room=st.just("chat.lobby"),
        body=st.binary(max_size=40) | json_values.map(lambda value: json.dumps(value).encode()),
        message_id=st.none(),
        time=st.none() | st.integers(1, 253_402_300_799_999),
        kind=st.sampled_from(["message", "system", "admin"]),
        sender=st.none() | st.builds(Sender, texts, texts),
        key=st.none() | texts,
    ),
    st.booleans(),
)
def test_every_publication_is_json_with_its_data(envelope: Envelope, trusted: bool):
    push = json.loads(pushed(envelope, HERE, None, trusted))
    assert push["data"] == json.loads(json_of(envelope.body))
    assert (push["room"], push["position"], push["previous"]) == ("chat.lobby", HERE, None)
    assert push.get("key") == envelope.key
    assert (push["time"] is None) == (envelope.time is None)
