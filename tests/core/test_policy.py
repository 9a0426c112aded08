"""roomline.core.policy: a namespace's rule is a ceiling over what tokens grant"""

import pytest
from roomline.core.codec import ProtocolError
from roomline.core.codes import ErrorCode
from roomline.core.policy import Access, Namespace, Policy, Principal, Rule
from roomline.revocations import Revocation, RoomRevoked, UserRevoked
from roomline.tokens import Grants, Keyring, sign_connection, sign_room

KEYS = Keyring({"k1": "s" * 32})
NOW = 1_000_000.0
NAMESPACES = {rule.value: Namespace(rule, rule, history=10, history_age=60) for rule in Rule} | {
    name: Namespace(Rule.NONE, Rule.NONE, 10, 60) for name in ("user", "system")
}
POLICY = Policy(NAMESPACES, KEYS, anonymous=True)


def principal(user_id: str | None = "7", *, grants: Grants = Grants()) -> Principal:  # noqa: B008
    if user_id is None:
        return POLICY.authenticate(None, "c" * 32, NOW)
    token = sign_connection(KEYS, user_id, now=NOW, lifetime=60, grants=grants)
    return POLICY.authenticate(token, "", NOW)


def refusal(code: ErrorCode, room: str, who: Principal, token: str | None = None) -> str:
    with pytest.raises(ProtocolError) as caught:
        POLICY.check_read(who, room, token, NOW)
    assert caught.value.code is code
    return caught.value.reason


def room_token(room: str, user_id: str = "7", **claims: bool) -> str:
    return sign_room(KEYS, user_id, room, now=NOW, lifetime=60, **claims)


def test_public() -> None:
    assert POLICY.check_read(principal(None), "public.a", None, NOW) == Access()
    POLICY.check_write(principal(None), "public.a", None, NOW)


def test_authenticated() -> None:
    assert POLICY.check_read(principal(), "authenticated.a", None, NOW) == Access()
    assert "authenticated" in refusal(ErrorCode.FORBIDDEN, "authenticated.a", principal(None))
    with pytest.raises(ProtocolError, match="authenticated clients only"):
        POLICY.check_write(principal(None), "authenticated.a", None, NOW)


def test_none_is_a_ceiling_over_every_token() -> None:
    everything = principal(grants=Grants(("none.**",), ("none.**",)))
    refusal(ErrorCode.FORBIDDEN, "none.a", everything)
    refusal(ErrorCode.FORBIDDEN, "none.a", everything, room_token("none.a", write=True))
    with pytest.raises(ProtocolError):
        POLICY.check_write(everything, "none.a", Access(NOW, write_until=NOW + 1), NOW)


def test_token_by_grant() -> None:
    reader = principal(grants=Grants(read=("token.a", "token.x.**")))
    assert POLICY.check_read(reader, "token.a", None, NOW) == Access()
    assert POLICY.check_read(reader, "token.x.y", None, NOW) == Access()
    refusal(ErrorCode.ROOM_TOKEN_REQUIRED, "token.b", reader)
    with pytest.raises(ProtocolError, match="no token lets"):
        POLICY.check_write(reader, "token.a", None, NOW)
    POLICY.check_write(principal(grants=Grants(write=("token.a",))), "token.a", None, NOW)


def test_token_by_room_token() -> None:
    access = POLICY.check_read(principal(), "token.a", room_token("token.a"), NOW)
    assert access == Access(expires=NOW + 60, write_until=None)
    with pytest.raises(ProtocolError):
        POLICY.check_write(principal(), "token.a", access, NOW)
    access = POLICY.check_read(principal(), "token.a", room_token("token.a", write=True), NOW)
    POLICY.check_write(principal(), "token.a", access, NOW)


def test_room_tokens_of_others_for_others_and_late() -> None:
    refusal(ErrorCode.TOKEN_INVALID, "token.a", principal(), room_token("token.b"))
    refusal(ErrorCode.TOKEN_INVALID, "token.a", principal("8"), room_token("token.a"))
    refusal(ErrorCode.TOKEN_INVALID, "token.a", principal(None), room_token("token.a"))
    refusal(ErrorCode.TOKEN_INVALID, "public.a", principal(), "forged")
    late = sign_room(KEYS, "7", "token.a", now=NOW - 60, lifetime=60)
    refusal(ErrorCode.TOKEN_EXPIRED, "token.a", principal(), late)
    connection = sign_connection(KEYS, "7", now=NOW, lifetime=60)
    refusal(ErrorCode.TOKEN_INVALID, "token.a", principal(), connection)


def test_anonymous_clients_cannot_enter_token_rooms() -> None:
    refusal(ErrorCode.FORBIDDEN, "token.a", principal(None))


@pytest.mark.parametrize(
    "room", ["", "a b", "chat.", ".a", "a..b", "chat.#", "chat.*", "é", "a\n", "a" * 201]
)
def test_bad_room_names(room: str) -> None:
    assert "words of" in refusal(ErrorCode.ROOM_INVALID, room, principal())


@pytest.mark.parametrize("room", ["control.user", "nowhere.a", "publicity.a"])
def test_rooms_of_no_namespace(room: str) -> None:
    assert "public" in refusal(ErrorCode.ROOM_UNKNOWN, room, principal())


def test_automatic_rooms() -> None:
    assert POLICY.automatic_rooms(principal()) == ["system.notices", "user.7"]
    assert POLICY.automatic_rooms(principal(None)) == ["system.notices"]
    POLICY.check_read(principal(), "user.7", None, NOW)
    refusal(ErrorCode.FORBIDDEN, "user.8", principal())
    refusal(ErrorCode.FORBIDDEN, "user.7", principal(None))


def test_anonymous_clients_only_where_allowed() -> None:
    closed = Policy(NAMESPACES, KEYS, anonymous=False)
    with pytest.raises(ProtocolError) as caught:
        closed.authenticate(None, "c" * 32, NOW)
    assert caught.value.code is ErrorCode.TOKEN_REQUIRED


def test_without_keys_no_token_is_accepted() -> None:
    keyless = Policy(NAMESPACES, None, anonymous=True)
    token = sign_connection(KEYS, "7", now=NOW, lifetime=60)
    with pytest.raises(ProtocolError) as caught:
        keyless.authenticate(token, "", NOW)
    assert caught.value.code is ErrorCode.TOKEN_INVALID


def test_an_anonymous_client_cannot_pass_for_a_user() -> None:
    assert POLICY.authenticate(None, "7", NOW).id != principal("7").id


def test_a_room_token_may_be_for_writing_alone() -> None:
    namespaces = {"open": Namespace(Rule.PUBLIC, Rule.TOKEN, history=10, history_age=60)}
    policy = Policy(namespaces, KEYS, anonymous=True)
    access = policy.check_read(principal(), "open.a", room_token("open.a", write=True), NOW)
    assert access == Access(expires=None, write_until=NOW + 60)
    policy.check_write(principal(), "open.a", access, NOW)
    with pytest.raises(ProtocolError):
        policy.check_write(principal(), "open.a", access, NOW + 60)


def test_a_grant_outlives_the_room_token_that_came_with_it() -> None:
    reader = principal(grants=Grants(read=("token.a",)))
    access = POLICY.check_read(reader, "token.a", room_token("token.a"), NOW)
    assert access.expires is None


# Revocations.


def revoking(*revocations: Revocation) -> Policy:
    policy = Policy(NAMESPACES, KEYS, anonymous=True)
    for revocation in revocations:
        policy.revocations.add(revocation, NOW)
    return policy


def at(generation: int, **grants: tuple[str, ...]) -> Principal:
    """A user whose connection token is of that generation, connected before any revocation."""
    token = sign_connection(
        KEYS, "7", now=NOW, lifetime=60, grants=Grants(**grants), generation=generation
    )
    return Policy(NAMESPACES, KEYS, anonymous=True).authenticate(token, "", NOW)


def test_a_revoked_users_older_tokens_are_refused() -> None:
    policy = revoking(UserRevoked("7", 5))
    for user_id, generation, refused in (("7", 4, True), ("7", 5, False), ("8", 0, False)):
        token = sign_connection(KEYS, user_id, now=NOW, lifetime=60, generation=generation)
        if refused:
            with pytest.raises(ProtocolError) as caught:
                policy.authenticate(token, "", NOW)
            assert caught.value.code is ErrorCode.TOKEN_REVOKED
        else:
            assert not policy.revoked(policy.authenticate(token, "", NOW))
    assert policy.revoked(at(4))
    assert not policy.revoked(policy.authenticate(None, "7" * 16, NOW)), "who came without a token"


def test_of_a_revoked_room_older_grants_do_not_count() -> None:
    policy = revoking(RoomRevoked("token.a", 5))
    both = {"read": ("token.**",), "write": ("token.**",)}
    for room, generation, counts in (
        ("token.a", 4, False),
        ("token.a", 5, True),
        ("token.b", 4, True),
    ):
        who = at(generation, **both)
        if counts:
            policy.check_read(who, room, None, NOW)
            policy.check_write(who, room, None, NOW)
            continue
        with pytest.raises(ProtocolError) as caught:
            policy.check_read(who, room, None, NOW)
        assert caught.value.code is ErrorCode.TOKEN_REVOKED
        with pytest.raises(ProtocolError) as caught:
            policy.check_write(who, room, None, NOW)
        assert caught.value.code is ErrorCode.TOKEN_REVOKED
    with pytest.raises(ProtocolError) as caught:
        policy.check_write(at(4, read=("token.**",)), "token.a", None, NOW)
    assert caught.value.code is ErrorCode.FORBIDDEN, "no token has ever let it"
    with pytest.raises(ProtocolError) as caught:
        policy.check_read(at(4), "token.a", None, NOW)
    assert caught.value.code is ErrorCode.ROOM_TOKEN_REQUIRED, "nor this"
    held = Access(NOW + 60, write_until=NOW + 60, generation=5)
    policy.check_write(at(4, **both), "token.a", held, NOW)


@pytest.mark.parametrize("revocation", [RoomRevoked("token.a", 5, True), UserRevoked("7", 5)])
def test_older_room_tokens_do_not_count_either(revocation: Revocation) -> None:
    who = at(5)
    before, policy = revoking(), revoking(revocation)
    for generation, counts in ((4, False), (5, True)):
        token = sign_room(
            KEYS, "7", "token.a", now=NOW, lifetime=60, write=True, generation=generation
        )
        held = before.check_read(who, "token.a", token, NOW)
        assert policy.still_reads(who, "token.a", held, NOW) == counts
        if counts:
            assert policy.check_read(who, "token.a", token, NOW) == held
            policy.check_write(who, "token.a", held, NOW)
            continue
        with pytest.raises(ProtocolError) as caught:
            policy.check_read(who, "token.a", token, NOW)
        assert caught.value.code is ErrorCode.TOKEN_REVOKED
        with pytest.raises(ProtocolError):
            policy.check_write(who, "token.a", held, NOW)


def test_rules_of_namespaces_are_not_revoked() -> None:
    policy = revoking(*(RoomRevoked(room, 5, True) for room in ("public.a", "authenticated.a")))
    for room in ("public.a", "authenticated.a"):
        policy.check_read(at(4), room, None, NOW)
        policy.check_write(at(4), room, None, NOW)


def test_automatic_rooms_are_not_revoked() -> None:
    policy = revoking(RoomRevoked("user.7", 5, True), RoomRevoked("system.notices", 5, True))
    for room in policy.automatic_rooms(at(4)):
        policy.check_read(at(4), room, None, NOW)
