"""Wire: names, bodies, and properties, whoever wrote them."""

import contextlib
import json
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from roomline.revocations import (
    Revocation,
    RoomRevoked,
    UserRevoked,
    revocation_envelopes,
    revocations_of,
)
from roomline.wire import (
    CONTROL_NAMESPACE,
    KINDS,
    MAX_BODY_BYTES,
    MAX_GENERATION,
    MAX_KEY_LENGTH,
    Envelope,
    InvalidData,
    InvalidName,
    Sender,
    body_of,
    check_room,
    check_user_id,
    envelope_of,
    fingerprint_of,
    iso_time,
    json_of,
    message_id_of,
    namespace_of,
    properties_of,
    shorten,
    user_room,
    utf8_length,
    well_formed,
)

LAST_TIME = 253_402_300_799_999
GENERATIONS = st.integers(0, MAX_GENERATION)


def strict_json(text: str) -> Any:
    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    text.encode()
    return json.loads(text, parse_constant=refuse)


# Names.


@pytest.mark.parametrize(
    "room", ["a", "chat.lobby", "user.42", "A-b_9.C", "a.b.c.d", "-._", "r" * 200]
)
def test_a_room_name_is_taken(room: str):
    assert check_room(room) == room


@pytest.mark.parametrize(
    "room",
    ["", ".", "a.", ".a", "a..b", "a b", "a\n", "\na", "chat.lobby\n", "a*", "a.#", "a/b"],
)
def test_what_is_badly_formed_is_refused(room: str):
    with pytest.raises(InvalidName, match="is not a room name: words of A-Z a-z 0-9"):
        check_room(room)


@pytest.mark.parametrize(
    "room", ["é", "chat.lobbý", "ch\u0430t", "a.\u0661", "r" * 201, "a\0", "\ud800"]
)
def test_what_is_no_room_name_is_refused(room: str):
    with pytest.raises(InvalidName, match="is not a room name: words of A-Z a-z 0-9"):
        check_room(room)


@given(st.text(max_size=20))
def test_a_room_name_is_words_joined_by_dots(text: str):
    word = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")
    expected = all(part and set(part) <= word for part in text.split("."))
    try:
        check_room(text)
    except InvalidName:
        assert not expected
    else:
        assert expected


@pytest.mark.parametrize("user_id", ["", "a.b", "a b", "7\n", "é", "x" * 65, "a@b"])
def test_what_is_no_user_id_is_refused(user_id: str):
    with pytest.raises(InvalidName, match="1 to 64 characters"):
        check_user_id(user_id)


def test_rooms_of_users_and_namespaces():
    assert user_room("u-7_") == "user.u-7_"
    assert check_user_id("x" * 64) == "x" * 64
    assert [namespace_of(room) for room in ("chat.a.b", "chat")] == ["chat", "chat"]
    with pytest.raises(InvalidName):
        user_room("7.8")


# Ids and fingerprints.

fields = st.text("ab:0", max_size=4)


@given(st.tuples(fields, fields, fields), st.tuples(fields, fields, fields))
def test_message_ids_are_equal_only_for_equal_fields(
    one: tuple[str, str, str], other: tuple[str, str, str]
):
    assert (message_id_of(*one) == message_id_of(*other)) == (one == other)


def test_a_message_id_is_the_same_in_every_release():
    assert message_id_of("7", "chat.lobby", "k-1") == "e5dc22cf5532c52517cd95a075e98950"


envelopes = st.builds(
    Envelope,
    room=st.sampled_from(["a", "aa", "a.b", "chat.lobby"]),
    body=st.binary(max_size=3),
    message_id=st.none() | st.text("ab", min_size=1, max_size=3),
    time=st.none() | st.integers(1, 3),
)


@given(envelopes, envelopes)
def test_fingerprints_are_equal_only_for_equal_entries(one: Envelope, other: Envelope):
    assert 0 <= fingerprint_of(one) < 2**48
    same = one[:4] == other[:4]  # room, body, message id, time
    assert (fingerprint_of(one) == fingerprint_of(other)) == same


# Bodies.

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(json_values)
def test_data_comes_back_as_it_was(data: Any):
    assert strict_json(json_of(body_of(data))) == data


@given(st.binary(max_size=60))
def test_every_body_has_strict_json_that_utf8_can_carry(body: bytes):
    strict_json(json_of(body))


json_like = st.text('[]{}:,"\\udD83e0-1.NaInfty \n\ufeff', max_size=30)


@given(json_like)
def test_what_is_nearly_json_has_strict_json_too(text: str):
    data = strict_json(json_of(text.encode()))
    try:
        parsed = json.dumps(strict_json(text), ensure_ascii=False, allow_nan=False)
    except (ValueError, AssertionError):
        assert data == text
    else:
        assert data == json.loads(well_formed(parsed))


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"a": 1}', '{"a":1}'),
        (b"going down at 5", '"going down at 5"'),
        (b"", '""'),
        (b"\xff\x00", '{"base64": "/wA="}'),
        (b"NaN", '"NaN"'),
        (b"[1e999]", '"[1e999]"'),
        (b'"\\ud83d"', '"\ufffd"'),
        (b'{"\\ude00":"\\ud83d\\ude00"}', '{"\ufffd":"\U0001f600"}'),
        (b"\xef\xbb\xbf1", '"\ufeff1"'),
        (b"1" * 5000, '"' + "1" * 5000 + '"'),
        (b"[" * 9000, '"' + "[" * 9000 + '"'),
    ],
    ids=lambda value: ascii(value)[:24],
)
def test_the_json_of_a_body(body: bytes, text: str):
    assert json_of(body) == text


@pytest.mark.parametrize(
    "data",
    [float("nan"), [float("inf")], {1, 2}, b"1", 10**5000, object],
    ids=["NaN", "infinity", "set", "bytes", "digits", "class"],
)
def test_data_that_is_not_json_is_refused(data: Any):
    with pytest.raises(InvalidData, match="cannot be written as JSON"):
        body_of(data)


def test_data_that_is_nested_too_deep_is_refused():
    data: list[Any] = []
    for _ in range(100_000):
        data = [data]
    with pytest.raises(InvalidData, match="cannot be written as JSON"):
        body_of(data)


def test_the_largest_data():
    assert len(body_of("x" * (MAX_BODY_BYTES - 2))) == MAX_BODY_BYTES
    with pytest.raises(InvalidData, match=f"{MAX_BODY_BYTES + 1} bytes.*at most {MAX_BODY_BYTES}"):
        body_of("é" + "x" * (MAX_BODY_BYTES - 3))


@given(st.text(st.characters(categories=["Cs", "Lu"])))
def test_well_formed_text_encodes_and_good_text_stays(text: str):
    good = well_formed(text)
    assert well_formed(good) == good
    assert len(good.encode("utf-16-le")) == len(text.encode("utf-16-le", "surrogatepass"))
    assert [a for a in good if a.isascii()] == [a for a in text if a.isascii()]


@given(st.text(st.characters(exclude_categories=())))
def test_the_length_of_any_text_in_utf8(text: str):
    assert utf8_length(text) == len(text.encode(errors="surrogatepass"))


# Properties.

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
whole_envelopes = st.builds(
    Envelope,
    room=st.just("chat.lobby"),
    body=st.binary(max_size=5),
    message_id=st.none() | texts,
    time=st.none() | st.integers(1, LAST_TIME),
    kind=st.sampled_from(KINDS),
    sender=st.none() | st.builds(Sender, texts, texts),
    key=st.none() | texts,
    publisher=st.none() | texts,
)


@given(whole_envelopes)
def test_an_envelope_survives_as_properties(envelope: Envelope):
    properties = properties_of(envelope)
    assert envelope_of(envelope.room, envelope.body, properties) == envelope
    assert properties["delivery_mode"] == 2


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.datetimes()
    | st.datetimes(timezones=st.timezones()),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)
names = ["headers", "type", "message_id", "timestamp", "user_id", "app_id"]
header_names = ["sender-id", "sender-name", "timestamp_in_ms", "key"]


@given(
    st.dictionaries(st.sampled_from(names), anything),
    st.none() | st.dictionaries(st.sampled_from(header_names), anything),
)
def test_properties_written_by_hand_are_taken_or_count_as_absent(
    properties: dict[str, Any], headers: dict[str, Any] | None
):
    if headers is not None:
        properties["headers"] = headers
    envelope = envelope_of("a", b"", properties)
    assert envelope.kind in KINDS
    if envelope.time is not None:
        assert iso_time(envelope.time).endswith("Z")
    assert envelope.sender is None or all(isinstance(part, str) for part in envelope.sender)
    for text in (envelope.message_id, envelope.key, envelope.publisher):
        assert text is None or (isinstance(text, str) and 0 < len(text) <= 255)


@pytest.mark.parametrize(
    ("properties", "time"),
    [
        ({"timestamp": 7}, 7000),
        ({"timestamp": 7, "headers": {"timestamp_in_ms": 7123}}, 7123),
        ({"timestamp": 7, "headers": {"timestamp_in_ms": "7123"}}, 7000),
        ({"timestamp": 0}, None),
        ({"timestamp": -1}, None),
        ({"timestamp": True}, None),
        ({"timestamp": LAST_TIME // 1000}, LAST_TIME - 999),
        ({"timestamp": LAST_TIME // 1000 + 1}, None),
        ({"timestamp": datetime.min}, None),
        ({"headers": {"timestamp_in_ms": 2**63 - 1}}, None),
        ({"headers": "none"}, None),
    ],
)
def test_the_time_of_properties(properties: dict[str, Any], time: int | None):
    assert envelope_of("a", b"", properties).time == time


@pytest.mark.parametrize(
    ("headers", "sender"),
    [
        ({"sender-id": "7", "sender-name": "Ann"}, Sender("7", "Ann")),
        ({"sender-id": "7"}, Sender("7", "7")),
        ({"sender-id": "7", "sender-name": ""}, Sender("7", "7")),
        ({"sender-name": "Ann"}, None),
        ({"sender-id": 7, "sender-name": "Ann"}, None),
        ({"sender-id": "7" * 65}, None),
    ],
)
def test_the_sender_of_headers(headers: dict[str, Any], sender: Sender | None):
    assert envelope_of("a", b"", {"headers": headers}).sender == sender


def test_sizes_of_properties_are_bounded():
    longest = {"message_id": "m" * 255, "user_id": "u" * 255, "headers": {"key": "k" * 128}}
    envelope = envelope_of("a", b"", longest)
    assert (envelope.message_id, envelope.publisher) == ("m" * 255, "u" * 255)
    assert envelope.key == "k" * MAX_KEY_LENGTH
    longer = {"message_id": "m" * 256, "user_id": "u" * 256, "headers": {"key": "k" * 129}}
    assert envelope_of("a", b"", longer) == Envelope("a", b"")


def test_iso_time():
    assert iso_time(1_767_323_045_678) == "2026-01-02T03:04:05.678Z"
    assert iso_time(0) == "1970-01-01T00:00:00.000Z"
    assert iso_time(LAST_TIME) == "9999-12-31T23:59:59.999Z"


# Values in errors.


@given(anything)
def test_what_is_shown_in_errors_is_short_printable_text(value: Any):
    shown = shorten(value)
    assert len(shown) <= 64
    assert shown.replace("…", "").isascii()
    assert shown.isprintable()


def test_values_that_python_cannot_write_are_shown_by_type():
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    assert shorten(nested) == "<list>"
    assert shorten(10**5000) == "<int>"


# Revocations.

REVOCATIONS = st.one_of(
    st.builds(UserRevoked, st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True), GENERATIONS),
    st.builds(
        RoomRevoked,
        st.from_regex(r"[A-Za-z0-9_-]{1,9}(\.[A-Za-z0-9_-]{1,9}){0,3}", fullmatch=True),
        GENERATIONS,
        st.booleans(),
    ),
)


@given(REVOCATIONS)
def test_a_revocation_survives_the_log(revocation: Revocation):
    [envelope] = revocation_envelopes([revocation])
    assert namespace_of(envelope.room) == CONTROL_NAMESPACE
    assert revocations_of(envelope) == [revocation]


def test_many_users_are_few_publications():
    users = [UserRevoked(f"{number:064d}", number % 2) for number in range(1200)]
    envelopes = revocation_envelopes([*users, RoomRevoked("a.b", 1)])
    assert len(envelopes) == 5
    assert all(len(envelope.body) < MAX_BODY_BYTES for envelope in envelopes)
    told = [revocation for envelope in envelopes for revocation in revocations_of(envelope)]
    assert set(told) == {*users, RoomRevoked("a.b", 1)}
    assert len(told) == 1201


def test_what_revocations_look_like():
    room, user = revocation_envelopes([UserRevoked("42", 7), RoomRevoked("chat.x", 8, True)])
    shown: dict[str, object] = {"users": ["42"], "generation": 7}
    assert (user.room, json.loads(user.body)) == ("control.user", shown)
    shown = {"room": "chat.x", "generation": 8, "closed": True}
    assert (room.room, json.loads(room.body)) == ("control.room", shown)


def test_a_room_that_is_not_said_to_be_closed_is_not():
    envelope = Envelope("control.room", b'{"room": "a.b", "generation": 1}')
    assert revocations_of(envelope) == [RoomRevoked("a.b", 1, closed=False)]


@pytest.mark.parametrize(
    ("room", "body", "why"),
    [
        ("control.user", b"not JSON", "no revocation as JSON"),
        ("control.user", b"\xff", "no revocation as JSON"),
        ("control.user", b"[" * 5000, "no revocation as JSON"),
        ("control.user", b"[1]", "no revocation as JSON"),
        ("control.user", b"7", "no revocation as JSON"),
        ("control.user", b'{"users": [7], "generation": 1}', "no revocation as JSON"),
        ("control.user", b'{"users": ["a b"], "generation": 1}', "user id 'a b' is not accepted"),
        ("control.user", b'{"generation": 1}', "its body has no 'users'"),
        ("control.user", b'{"users": ["7"]}', "its body has no 'generation'"),
        ("control.user", b'{"users": ["7"], "generation": -1}', "its generation is -1"),
        ("control.user", b'{"users": ["7"], "generation": true}', "its generation is True"),
        ("control.user", b'{"users": ["7"], "generation": 1e400}', "its generation is inf"),
        ("control.user", b'{"users": "7", "generation": 1}', "its users are '7'"),
        ("control.user", b'{"users": [], "generation": 1}', "accepted is a list of ids"),
        ("control.room", b'{"room": "a..b", "generation": 1}', "is not a room name"),
        ("control.room", b'{"room": "a", "generation": 1, "closed": 1}', "closed is 1"),
        ("control.other", b'{"user": "7", "generation": 1}', "is neither control.user nor"),
    ],
)
def test_what_is_no_revocation_is_said(room: str, body: bytes, why: str):
    with pytest.raises(InvalidData, match=why):
        revocations_of(Envelope(room, body))


@given(st.sampled_from(["control.user", "control.room"]), st.binary(max_size=80))
def test_whatever_stands_in_a_body_is_a_revocation_or_invalid(room: str, body: bytes):
    with contextlib.suppress(InvalidData):
        revocations_of(Envelope(room, body))
