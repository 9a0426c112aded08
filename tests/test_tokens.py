"""Tokens: what is accepted, and that everything else is a TokenError."""

import base64
import json
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from roomline.tokens import (
    CONNECTION_AUDIENCE,
    LEEWAY,
    MAX_LIFETIME,
    ROOM_AUDIENCE,
    Grants,
    Keyring,
    TokenError,
    TokenExpired,
    sign_connection,
    sign_room,
    verify_connection,
    verify_room,
)
from roomline.wire import InvalidName

NOW = 1_700_000_000.0
SECRET = "s" * 32
KEYS = Keyring({"k1": SECRET})

CLAIMS = {
    "sub": "7",
    "aud": CONNECTION_AUDIENCE,
    "iat": int(NOW),
    "exp": int(NOW) + 600,
    "name": "Ann",
    "read": ["chat.**"],
    "write": ["chat.lobby"],
}


def signed(claims: Any, *, secret: str = SECRET, headers: dict[str, Any] | None = None) -> str:
    """A token with any JSON at all in it, correctly signed."""
    return jwt.api_jws.encode(
        json.dumps(claims).encode(), secret, algorithm="HS256", headers=headers or {"kid": "k1"}
    )


def part(data: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(data).encode()).rstrip(b"=").decode()


# What is accepted.


def test_a_connection_token():
    grants = Grants(read=("chat.**", "system.notices"), write=("chat.lobby",))
    token = sign_connection(
        KEYS, "7", now=NOW, lifetime=600, name="Ann 😀", grants=grants, generation=9
    )
    claims = verify_connection(KEYS, token, NOW)
    assert claims == ("7", "Ann 😀", NOW + 600, grants, 9)


def test_a_connection_token_without_name_and_grants():
    token = sign_connection(KEYS, "7", now=NOW, lifetime=1)
    claims = verify_connection(KEYS, token, NOW)
    assert claims == ("7", "7", NOW + 1, Grants(), 0)
    assert not claims.grants.may_read("chat.lobby")


@pytest.mark.parametrize("write", [True, False])
def test_a_room_token(write: bool):
    token = sign_room(KEYS, "7", "chat.secret", now=NOW, lifetime=60, write=write, generation=9)
    assert verify_room(KEYS, token, NOW) == ("7", "chat.secret", NOW + 60, write, 9)


def test_a_token_without_a_generation_is_of_the_oldest():
    token = signed({name: value for name, value in CLAIMS.items() if name != "gen"})
    assert verify_connection(KEYS, token, NOW).generation == 0


@pytest.mark.parametrize("generation", [-1, 2**53, True, 1.5, "7", None])
def test_what_is_no_generation_is_neither_signed_nor_taken(generation: Any):
    with pytest.raises(ValueError, match="no whole number from 0 on"):
        sign_connection(KEYS, "7", now=NOW, lifetime=60, generation=generation)
    with pytest.raises(ValueError, match="no whole number from 0 on"):
        sign_room(KEYS, "7", "chat.a", now=NOW, lifetime=60, generation=generation)
    with pytest.raises(TokenError, match="claim gen must be a generation"):
        verify_connection(KEYS, signed(CLAIMS | {"gen": generation}), NOW)


def test_names_are_shortened_and_made_well_formed():
    claims = verify_connection(KEYS, signed(CLAIMS | {"name": "\ud83d" + "x" * 300}), NOW)
    assert claims.name == "\ufffd" + "x" * 199


# Times.


def test_a_token_ends_with_its_lifetime():
    token = sign_connection(KEYS, "7", now=NOW, lifetime=600)
    assert verify_connection(KEYS, token, NOW + 599.9).user_id == "7"
    with pytest.raises(TokenExpired, match="has expired"):
        verify_connection(KEYS, token, NOW + 600)


def test_a_signers_clock_may_be_a_little_ahead():
    token = sign_connection(KEYS, "7", now=NOW + LEEWAY, lifetime=600)
    assert verify_connection(KEYS, token, NOW).user_id == "7"
    token = sign_connection(KEYS, "7", now=NOW + LEEWAY + 1, lifetime=600)
    with pytest.raises(TokenError, match="in the future"):
        verify_connection(KEYS, token, NOW)


def test_a_token_is_not_good_before_it_says_so():
    assert verify_connection(KEYS, signed(CLAIMS | {"nbf": NOW + LEEWAY}), NOW).user_id
    with pytest.raises(TokenError, match="not good yet"):
        verify_connection(KEYS, signed(CLAIMS | {"nbf": NOW + LEEWAY + 1}), NOW)
    with pytest.raises(TokenError, match="claim nbf must be a number of seconds"):
        verify_connection(KEYS, signed(CLAIMS | {"nbf": "tomorrow"}), NOW)


def test_no_token_lives_too_long_whatever_it_says():
    longest = CLAIMS | {"exp": CLAIMS["iat"] + MAX_LIFETIME}
    assert verify_connection(KEYS, signed(longest), NOW).expires == NOW + MAX_LIFETIME
    with pytest.raises(TokenError, match=f"longer than {MAX_LIFETIME} seconds"):
        verify_connection(KEYS, signed(longest | {"exp": longest["exp"] + 1}), NOW)


@pytest.mark.parametrize("lifetime", [0, -1, MAX_LIFETIME + 1])
def test_a_lifetime_that_no_gateway_accepts_is_not_signed(lifetime: int):
    with pytest.raises(ValueError, match=f"lifetime is {lifetime} seconds, accepted is 1 to"):
        sign_connection(KEYS, "7", now=NOW, lifetime=lifetime)


# Keys.


def test_keys_are_rotated_without_a_gap():
    old, new = {"k1": SECRET}, {"k2": "t" * 32}
    tokens = [
        sign_connection(Keyring(keys), "7", now=NOW, lifetime=600)
        for keys in (old, old | new, new | old, new)
    ]
    assert [jwt.get_unverified_header(token)["kid"] for token in tokens] == ["k1", "k1", "k2", "k2"]
    for token in tokens:
        assert verify_connection(Keyring(new | old), token, NOW).user_id == "7"
    with pytest.raises(TokenError, match="names key 'k1', which is not known here"):
        verify_connection(Keyring(new), tokens[0], NOW)


def test_a_key_of_the_same_name_with_another_secret():
    token = sign_connection(Keyring({"k1": "t" * 32}), "7", now=NOW, lifetime=600)
    with pytest.raises(TokenError, match="Signature verification failed"):
        verify_connection(KEYS, token, NOW)


def test_a_short_secret_is_refused():
    with pytest.raises(ValueError, match="secret of key 'k1' is 31 bytes, at least 32"):
        Keyring({"k1": "s" * 31})
    with pytest.raises(ValueError, match="at least one key"):
        Keyring({})


# Forgeries.


@pytest.mark.parametrize("algorithm", ["none", "None", "HS512", "RS256", "", None, 7, ["HS256"]])
def test_another_algorithm_is_refused(algorithm: Any):
    token = f"{part({'alg': algorithm, 'kid': 'k1'})}.{part(CLAIMS)}."
    with pytest.raises(TokenError, match="not accepted"):
        verify_connection(KEYS, token, NOW)


def test_the_same_secret_with_another_algorithm_is_refused():
    token = jwt.encode(CLAIMS, SECRET * 2, algorithm="HS512", headers={"kid": "k1"})
    with pytest.raises(TokenError, match="alg"):
        verify_connection(Keyring({"k1": SECRET * 2}), token, NOW)


@pytest.mark.parametrize("kid", ["k2", "", None, 7, ["k1"], {"k1": 1}])
def test_an_unknown_key_is_refused(kid: Any):
    token = f"{part({'alg': 'HS256', 'kid': kid})}.{part(CLAIMS)}.c2ln"
    with pytest.raises(TokenError):
        verify_connection(KEYS, token, NOW)


def test_a_token_for_something_else_is_refused():
    connection = sign_connection(KEYS, "7", now=NOW, lifetime=600)
    room = sign_room(KEYS, "7", "chat.secret", now=NOW, lifetime=600)
    with pytest.raises(TokenError, match=r"[Aa]udience"):
        verify_room(KEYS, connection, NOW)
    with pytest.raises(TokenError, match=r"[Aa]udience"):
        verify_connection(KEYS, room, NOW)


def test_a_changed_token_is_refused():
    header, _, signature = sign_connection(KEYS, "7", now=NOW, lifetime=600).split(".")
    with pytest.raises(TokenError, match="Signature"):
        verify_connection(KEYS, f"{header}.{part(CLAIMS | {'sub': '8'})}.{signature}", NOW)


# Malformed ones.


@pytest.mark.parametrize(
    "token",
    ["", ".", "..", "...", "a.b.c", "e30.e30.e30", "é.é.é", "\ud800", "\ud800.\udc00.x", "\0"]
    + [part(value) + ".e30.e30" for value in (None, 1, "x", [], [[]], {}, {"alg": "HS256"})]
    + [base64.urlsafe_b64encode(b'{"a":' * 1000).decode() + ".e30.e30"],
    ids=lambda token: ascii(token)[:20],
)
def test_what_is_no_token_is_refused(token: str):
    with pytest.raises(TokenError):
        verify_connection(KEYS, token, NOW)
    with pytest.raises(TokenError):
        verify_room(KEYS, token, NOW)


@given(st.text(max_size=40))
def test_arbitrary_text_is_a_token_error(text: str):
    with pytest.raises(TokenError):
        verify_connection(KEYS, text, NOW)


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        ("sub", None),
        ("sub", 7),
        ("sub", ""),
        ("sub", "a b"),
        ("sub", "7\n"),
        ("sub", ["7"]),
        ("sub", "x" * 65),
        ("aud", None),
        ("aud", 7),
        ("aud", ["x", 1]),
        ("aud", {}),
        ("iat", None),
        ("iat", "1700000000"),
        ("iat", True),
        ("iat", float("nan")),
        ("iat", float("inf")),
        ("iat", float("-inf")),
        ("iat", -1),
        ("iat", []),
        ("exp", None),
        ("exp", "1700000600"),
        ("exp", True),
        ("exp", float("nan")),
        ("exp", float("inf")),
        ("exp", 10**400),
        ("exp", {}),
        ("name", None),
        ("name", 7),
        ("name", ["Ann"]),
        ("read", None),
        ("read", "chat.**"),
        ("read", {"chat.**": 1}),
        ("read", [1]),
        ("read", [["chat.**"]]),
        ("read", ["chat.*"]),
        ("read", ["chat.#"]),
        ("read", ["**"]),
        ("read", [".**"]),
        ("read", ["chat**"]),
        ("read", ["chat.**.x"]),
        ("read", [""]),
        ("write", ["chat.lobby\n"]),
        ("write", [None]),
    ],
)
def test_a_malformed_claim_is_refused(claim: str, value: Any):
    with pytest.raises(TokenError) as refused:
        verify_connection(KEYS, signed(CLAIMS | {claim: value}), NOW)
    assert not isinstance(refused.value, TokenExpired)
    assert len(str(refused.value)) < 300
    str(refused.value).encode()


@pytest.mark.parametrize("claim", ["sub", "aud", "iat", "exp"])
def test_a_missing_claim_is_refused(claim: str):
    with pytest.raises(TokenError, match=claim):
        verify_connection(
            KEYS, signed({name: value for name, value in CLAIMS.items() if name != claim}), NOW
        )


ROOM_CLAIMS = CLAIMS | {"aud": ROOM_AUDIENCE, "room": "chat.secret", "write": True}


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        ("room", None),
        ("room", 7),
        ("room", ""),
        ("room", "a b"),
        ("room", "chat.**"),
        ("write", 1),
        ("write", "yes"),
        ("write", None),
        ("exp", float("nan")),
        ("sub", "a.b"),
    ],
)
def test_a_malformed_claim_of_a_room_token_is_refused(claim: str, value: Any):
    assert verify_room(KEYS, signed(ROOM_CLAIMS), NOW).write
    with pytest.raises(TokenError):
        verify_room(KEYS, signed(ROOM_CLAIMS | {claim: value}), NOW)


def test_a_room_token_without_a_room_is_refused():
    claims = {name: value for name, value in ROOM_CLAIMS.items() if name != "room"}
    with pytest.raises(TokenError, match="not a room name"):
        verify_room(KEYS, signed(claims), NOW)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(
    st.dictionaries(
        st.sampled_from([*CLAIMS, "iss", "jti", "nbf", "room"]), json_values, min_size=1
    )
)
def test_claims_of_any_sort_are_accepted_or_a_token_error(claims: dict[str, Any]):
    try:
        accepted = verify_connection(KEYS, signed(CLAIMS | claims), NOW)
    except TokenError:
        return
    assert NOW < accepted.expires <= NOW + LEEWAY + MAX_LIFETIME
    accepted.name.encode()


@given(json_values)
def test_a_payload_of_any_sort_is_a_token_error(payload: Any):
    with pytest.raises(TokenError):
        verify_connection(KEYS, signed(payload), NOW)


# Signing.


@pytest.mark.parametrize("user_id", ["", "a.b", "7\n", "x" * 65])
def test_a_user_id_that_no_gateway_accepts_is_not_signed(user_id: str):
    with pytest.raises(InvalidName):
        sign_connection(KEYS, user_id, now=NOW, lifetime=600)
    with pytest.raises(InvalidName):
        sign_room(KEYS, user_id, "chat.secret", now=NOW, lifetime=600)


@pytest.mark.parametrize("pattern", ["", "**", "chat.*", "chat.#", "chat.**.x", "a b", "chat.**\n"])
def test_a_grant_that_no_gateway_accepts_is_not_signed(pattern: str):
    for grants in (Grants(read=(pattern,)), Grants(write=(pattern,))):
        with pytest.raises(ValueError, match=r"grant .* is not accepted"):
            sign_connection(KEYS, "7", now=NOW, lifetime=600, grants=grants)


def test_a_room_that_is_none_is_not_signed():
    with pytest.raises(InvalidName):
        sign_room(KEYS, "7", "chat.**", now=NOW, lifetime=600)


# Grants.


@pytest.mark.parametrize(
    ("pattern", "room", "granted"),
    [
        ("chat.lobby", "chat.lobby", True),
        ("chat.lobby", "chat.lobby.x", False),
        ("chat.lobby", "chat.lobb", False),
        ("chat.**", "chat.lobby", True),
        ("chat.**", "chat.a.b.c", True),
        ("chat.**", "chat", False),
        ("chat.**", "chatter.x", False),
        ("chat.a.**", "chat.a.b", True),
        ("chat.a.**", "chat.ab.c", False),
        ("chat.a.**", "chat.b", False),
        ("Chat.**", "chat.a", False),
    ],
)
def test_a_grant_covers_a_room(pattern: str, room: str, granted: bool):
    assert Grants(read=(pattern,)).may_read(room) is granted
    assert Grants(write=("other", pattern)).may_write(room) is granted
    assert not Grants(read=(pattern,)).may_write(room), "reading is not writing"
    assert not Grants(write=(pattern,)).may_read(room), "writing is not reading"
