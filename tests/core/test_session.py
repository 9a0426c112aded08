"""roomline.core.session: (state, command, now) -> effects"""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from roomline.core import messages
from roomline.core.codec import ProtocolError, decode
from roomline.core.codes import Disconnect, ErrorCode, Unsubscribed
from roomline.core.limits import NodeLimits
from roomline.core.messages import User
from roomline.core.policy import Namespace, Policy, Rule
from roomline.core.session import (
    Append,
    Ask,
    Attach,
    Close,
    Detach,
    Effect,
    Recall,
    Reply,
    Report,
    Session,
    Welcome,
)
from roomline.revocations import RoomRevoked, UserRevoked
from roomline.tokens import Grants, Keyring, sign_connection, sign_room
from roomline.wire import Sender

KEYS = Keyring({"k1": "s" * 32})
NOW = 1_000_000.0
POLICY = Policy(
    {
        "chat": Namespace(Rule.PUBLIC, Rule.PUBLIC, 10, 60),
        "secret": Namespace(Rule.TOKEN, Rule.TOKEN, 10, 60),
        "system": Namespace(Rule.PUBLIC, Rule.NONE, 10, 60),
        "user": Namespace(Rule.NONE, Rule.NONE, 10, 60),
        "calm": Namespace(Rule.PUBLIC, Rule.TOKEN, 10, 60, moderate="calm.check"),
    },
    KEYS,
    anonymous=True,
)
CLIENT = "0123456789abcdef"


def new_session(**limits: Any) -> Session:
    return Session("s-1", "f" * 32, POLICY, NodeLimits(**limits), NOW)


def connected(token: str | None = None, **limits: Any) -> Session:
    session = new_session(**limits)
    session.handle(messages.Connect(id=1, version=1, token=token, client=CLIENT), NOW)
    assert session.principal is not None
    return session


def token_of(user_id: str = "7", lifetime: int = 600, **grants: Any) -> str:
    return sign_connection(
        KEYS, user_id, name="Ann", now=NOW, lifetime=lifetime, grants=Grants(**grants)
    )


def error(effects: list[Effect]) -> messages.Error:
    (effect,) = effects
    assert isinstance(effect, Reply)
    assert isinstance(effect.message, messages.Error)
    return effect.message


def subscribe(session: Session, room: str = "chat.a", **fields: Any) -> list[Effect]:
    return session.handle(messages.Subscribe(id=2, room=room, **fields), NOW)


def publish(session: Session, room: str = "chat.a", data: Any = 1, **fields: Any) -> list[Effect]:
    return session.handle(messages.Publish(id=3, room=room, data=data, **fields), NOW)


def test_connect_anonymously() -> None:
    effects = new_session().handle(messages.Connect(id=1, version=1, client=CLIENT), NOW)
    assert effects == [Welcome(1, None, None, ["system.notices"])]


def test_connect_passes_on_what_the_client_says_of_its_transport() -> None:
    report = messages.TransportReport(tried=[], ms=12)
    connect = messages.Connect(id=1, version=1, client=CLIENT, transport=report)
    assert new_session().handle(connect, NOW) == [
        Welcome(1, None, None, ["system.notices"], report)
    ]


def test_connect_with_a_token() -> None:
    effects = new_session().handle(messages.Connect(id=1, version=1, token=token_of()), NOW)
    assert effects == [Welcome(1, User(id="7", name="Ann"), 600, ["system.notices", "user.7"])]


def test_nothing_before_connect() -> None:
    assert error(subscribe(new_session())).code == "not_connected"


def test_connect_once() -> None:
    again = connected().handle(messages.Connect(id=9, version=1), NOW)
    assert error(again).code == "already_connected"


def test_version() -> None:
    session = new_session()
    refused = error(session.handle(messages.Connect(id=1, version=2), NOW))
    assert (refused.code, refused.reason) == ("bad_version", "version is 2, accepted is 1")
    assert session.principal is None


def test_a_refused_token_leaves_the_session_new() -> None:
    session = new_session()
    late = sign_connection(KEYS, "7", now=NOW - 60, lifetime=60)
    assert (
        error(session.handle(messages.Connect(id=1, version=1, token=late), NOW)).code
        == "token_expired"
    )
    good = messages.Connect(id=2, version=1, token=token_of())
    assert isinstance(session.handle(good, NOW)[0], Welcome)


def test_connect_timeout() -> None:
    session = new_session(connect_timeout=10)
    assert session.deadline == NOW + 10
    assert session.tick(NOW + 9) == []
    assert session.tick(NOW + 10) == [Close(Disconnect.CONNECT_TIMEOUT)]


def test_token_expiry() -> None:
    session = connected(token_of(lifetime=60))
    assert session.deadline == NOW + 60
    assert session.tick(NOW + 59) == []
    assert session.tick(NOW + 60) == [Close(Disconnect.TOKEN_EXPIRED)]


def test_an_anonymous_session_has_no_deadline() -> None:
    session = connected()
    assert session.deadline is None
    assert session.tick(NOW + 1e6) == []


def test_refresh_prolongs() -> None:
    session = connected(token_of(lifetime=60))
    effects = session.handle(messages.Refresh(id=6, token=token_of(lifetime=600)), NOW)
    assert effects == [Reply(messages.Refreshed(id=6, expires_in=600))]
    assert session.deadline == NOW + 600


def test_refresh_for_another_user_is_refused() -> None:
    session = connected(token_of())
    effects = session.handle(messages.Refresh(id=6, token=token_of("8")), NOW)
    assert error(effects).code == "token_invalid"
    assert (
        error(connected().handle(messages.Refresh(id=6, token=token_of()), NOW)).code
        == "token_invalid"
    )


def test_refresh_ends_subscriptions_that_are_not_granted_any_more() -> None:
    session = connected(token_of(read=("secret.a",)))
    subscribe(session, "secret.a")
    subscribe(session, "chat.a")
    detach, push, reply = session.handle(messages.Refresh(id=6, token=token_of()), NOW)
    assert detach == Detach("secret.a")
    assert isinstance(push, Reply)
    assert push.message == messages.UnsubscribedPush(
        room="secret.a", code="forbidden", reason=Unsubscribed.FORBIDDEN.meaning
    )
    assert reply == Reply(messages.Refreshed(id=6, expires_in=600))
    assert "chat.a" in session.subscriptions


def test_subscribe() -> None:
    assert subscribe(connected(), since="p", history=5) == [Attach(2, "chat.a", "p", 5)]


def test_a_second_subscribe_restarts() -> None:
    session = connected()
    subscribe(session)
    assert subscribe(session) == [Detach("chat.a"), Attach(2, "chat.a", None, 0)]


def test_a_refused_subscribe_changes_nothing() -> None:
    session = connected()
    assert error(subscribe(session, "secret.a")).code == "forbidden"
    assert list(session.subscriptions) == ["system.notices"]


def test_subscriptions_are_counted() -> None:
    session = connected(subscriptions=3)
    subscribe(session, "chat.a")
    subscribe(session, "chat.b")
    assert error(subscribe(session, "chat.c")).code == "limit_reached"
    assert subscribe(session, "chat.b")  # a restart is no further one


def test_a_room_token_ends_its_subscription_and_no_other() -> None:
    session = connected(token_of())
    token = sign_room(KEYS, "7", "secret.a", now=NOW, lifetime=30)
    subscribe(session, "secret.a", token=token)
    subscribe(session)
    assert session.deadline == NOW + 30
    detach, push = session.tick(NOW + 30)
    assert detach == Detach("secret.a")
    assert isinstance(push, Reply)
    assert isinstance(push.message, messages.UnsubscribedPush)
    assert push.message.code == "token_expired"
    assert "chat.a" in session.subscriptions
    assert session.deadline == NOW + 600


def test_unsubscribe() -> None:
    session = connected()
    subscribe(session)
    command = messages.Unsubscribe(id=4, room="chat.a")
    assert session.handle(command, NOW) == [
        Detach("chat.a"),
        Reply(messages.UnsubscribedReply(id=4, room="chat.a")),
    ]
    assert error(session.handle(command, NOW)).code == "not_subscribed"


def test_publish() -> None:
    (effect,) = publish(connected(token_of()), data={"a": "é"}, key="k")
    assert isinstance(effect, Append)
    envelope = effect.envelope
    assert envelope.body == '{"a":"é"}'.encode()
    assert envelope.sender == Sender("7", "Ann")
    assert (envelope.room, envelope.key, envelope.kind) == ("chat.a", "k", "message")
    assert envelope.time == int(NOW * 1000)


def test_the_message_id_is_of_principal_room_and_key() -> None:
    def message_id(token: str | None, room: str, key: str | None) -> str | None:
        (effect,) = publish(connected(token), room=room, key=key)
        assert isinstance(effect, Append)
        return effect.envelope.message_id

    ids = [
        message_id(token_of("7"), "chat.a", "k"),
        message_id(token_of("8"), "chat.a", "k"),
        message_id(token_of("7"), "chat.b", "k"),
        message_id(token_of("7"), "chat.a", "l"),
        message_id(None, "chat.a", "k"),
    ]
    assert len(set(ids)) == 5
    assert message_id(token_of("7"), "chat.a", "k") == ids[0]
    assert message_id(None, "chat.a", None) is None


def test_too_large() -> None:
    assert error(publish(connected(), data="x" * 70_000)).code == "too_large"


def test_publish_where_forbidden() -> None:
    assert error(publish(connected(), "system.notices")).code == "forbidden"


def test_a_room_token_that_allows_writing() -> None:
    session = connected(token_of())
    assert error(publish(session, "secret.a")).code == "forbidden"
    token = sign_room(KEYS, "7", "secret.a", now=NOW, lifetime=30, write=True)
    subscribe(session, "secret.a", token=token)
    assert isinstance(publish(session, "secret.a")[0], Append)


def test_publications_are_rate_limited() -> None:
    session = connected(publications_burst=2, publications_per_second=1)
    publish(session)
    publish(session)
    refused = error(publish(session))
    assert (refused.code, refused.temporary) == ("rate_limited", True)
    assert isinstance(
        session.handle(messages.Publish(id=3, room="chat.a", data=1), NOW + 1)[0], Append
    )


def test_a_flood_disconnects() -> None:
    session = connected(commands_burst=10, commands_per_second=1)
    effects: list[Effect] = []
    for number in range(100):
        effects += session.admit(messages.Ping(id=number + 1), 30, NOW) or [Report(number + 1)]
        if isinstance(effects[-1], Close):
            break
    assert effects[-1] == Close(Disconnect.FLOOD)
    codes = [
        e.message.code
        for e in effects
        if isinstance(e, Reply) and isinstance(e.message, messages.Error)
    ]
    assert set(codes) == {"rate_limited"}


def test_repeated_rubbish_disconnects() -> None:
    session = connected()
    malformed = ProtocolError(ErrorCode.BAD_REQUEST, "not JSON")
    effects = [session.refuse(malformed, NOW)[0] for _ in range(21)]
    assert all(isinstance(effect, Reply) for effect in effects[:20])
    assert effects[20] == Close(Disconnect.BAD_PROTOCOL)


def test_the_rest() -> None:
    session = connected()
    assert session.handle(messages.Ping(id=5), NOW) == [Report(5)]
    assert session.handle(messages.History(id=5, room="chat.a", limit=3), NOW) == [
        Recall(5, "chat.a", 3)
    ]
    assert error(session.handle(messages.History(id=5, room="secret.a"), NOW)).code == "forbidden"
    assert error(session.handle(messages.Presence(id=5, room="chat.a"), NOW)).code == "unsupported"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
ROOMS = st.sampled_from(["chat.a", "secret.a", "system.notices", "x", "", "chat.#"]) | st.text()


@given(
    st.lists(
        st.fixed_dictionaries(
            {"type": st.sampled_from(list(messages.COMMANDS))},
            optional={
                "id": st.integers(-1, 99) | JSON,
                "version": st.just(1) | JSON,
                "room": ROOMS | JSON,
                "data": JSON,
                "since": st.text() | JSON,
                "history": st.integers() | JSON,
                "token": st.just(token_of()) | JSON,
                "key": st.text() | JSON,
            },
        ),
        max_size=8,
    )
)
def test_every_command_is_answered(commands: list[dict[str, Any]]) -> None:
    session = connected()
    for fields in commands:
        try:
            command = decode(json.dumps(fields))
        except ProtocolError as refused:
            effects = session.refuse(refused, NOW)
        else:
            effects = session.handle(command, NOW)
        assert effects


# Revocations.


def revocable(generation: int = 4, **grants: Any) -> tuple[Session, Policy]:
    """A connected session with a policy of its own."""
    policy = Policy(POLICY.namespaces, KEYS, anonymous=True)
    session = Session("s-1", "f" * 32, policy, NodeLimits(), NOW)
    token = sign_connection(
        KEYS, "7", now=NOW, lifetime=600, grants=Grants(**grants), generation=generation
    )
    session.handle(messages.Connect(id=1, version=1, token=token), NOW)
    return session, policy


def ended(effects: list[Effect]) -> dict[str, str]:
    return {
        effect.message.room: effect.message.code
        for effect in effects
        if isinstance(effect, Reply) and isinstance(effect.message, messages.UnsubscribedPush)
    }


def test_a_revoked_user_is_disconnected() -> None:
    session, policy = revocable()
    policy.revocations.add(UserRevoked("7", 4), NOW)
    assert session.revoke({}, NOW) == []
    policy.revocations.add(UserRevoked("7", 5), NOW)
    assert session.revoke({}, NOW) == [Close(Disconnect.REVOKED)]
    assert Session("s", CLIENT, policy, NodeLimits(), NOW).revoke({}, NOW) == []


def test_a_user_that_has_refreshed_stays_without_what_was_held_before() -> None:
    session, policy = revocable(4)
    old = sign_room(KEYS, "7", "secret.a", now=NOW, lifetime=60, generation=4)
    subscribe(session, "secret.a", token=old)
    new = sign_connection(KEYS, "7", now=NOW, lifetime=600, generation=5)
    session.handle(messages.Refresh(id=9, token=new), NOW)
    policy.revocations.add(UserRevoked("7", 5), NOW)
    assert ended(session.revoke({}, NOW)) == {"secret.a": "rights_changed"}


def test_a_revoked_room_ends_where_tokens_are_needed() -> None:
    session, policy = revocable(4, read=("secret.a", "secret.b"))
    newer = sign_room(KEYS, "7", "secret.c", now=NOW, lifetime=60, generation=5)
    for room, token in (
        ("secret.a", None),
        ("secret.b", None),
        ("chat.a", None),
        ("secret.c", newer),
    ):
        subscribe(session, room, token=token)
    rooms = {"secret.a": False, "secret.c": False, "chat.a": False, "user.7": True}
    for room, closed in rooms.items():
        policy.revocations.add(RoomRevoked(room, 5, closed), NOW)
    effects = session.revoke(rooms, NOW)
    assert Detach("secret.a") in effects
    assert ended(effects) == {"secret.a": "rights_changed"}
    assert set(session.subscriptions) == {
        "system.notices", "user.7", "secret.b", "chat.a", "secret.c"
    }  # fmt: skip
    assert error(publish(session, "secret.a")).code == "forbidden"
    assert error(subscribe(session, "secret.a")).code == "token_revoked"


def test_a_closed_room_ends_for_whoever_is_in_it() -> None:
    session, policy = revocable(4, read=("secret.a",))
    subscribe(session, "secret.a")
    subscribe(session, "chat.a")
    rooms = {"secret.a": True, "chat.a": True, "system.notices": True}
    for room in rooms:
        policy.revocations.add(RoomRevoked(room, 5, True), NOW)
    assert ended(session.revoke(rooms, NOW)) == {
        "secret.a": "room_closed",
        "chat.a": "room_closed",
    }
    assert isinstance(subscribe(session, "chat.a")[0], Attach), "its namespace's rule is public"


# Requests.


def test_a_request_is_asked_with_who_sends_it() -> None:
    session = connected(token_of())
    command = messages.Request(id=4, name="orders.cancel", data={"order": 7})
    ann = Sender("7", "Ann")
    assert session.handle(command, NOW) == [Ask(4, "orders.cancel", b'{"order":7}', ann, 30)]
    brief = messages.Request(id=5, name="orders.cancel", data=None, timeout=2)
    assert connected().handle(brief, NOW) == [Ask(5, "orders.cancel", b"null", None, 2)]


def test_a_request_that_is_too_large() -> None:
    command = messages.Request(id=4, name="orders.cancel", data="x" * 70_000)
    assert error(connected().handle(command, NOW)).code == "too_large"


def test_what_is_published_where_it_is_moderated_is_asked_about() -> None:
    session = connected(token_of(write=("calm.a",)))
    (ask,) = publish(session, "calm.a", {"text": "hi"}, key="k")
    assert isinstance(ask, Ask)
    assert (ask.id, ask.name, ask.sender) == (3, "calm.check", Sender("7", "Ann"))
    assert json.loads(ask.body) == {"room": "calm.a", "data": {"text": "hi"}, "key": "k"}
    assert ask.publication is not None
    assert (ask.publication.room, ask.publication.key) == ("calm.a", "k")
    assert ask.publication.body == b'{"text":"hi"}'


def test_who_may_not_publish_asks_no_moderator() -> None:
    assert error(publish(connected(token_of()), "calm.a")).code == "forbidden"


def test_what_a_moderator_accepts_is_published_if_the_client_still_may() -> None:
    session = connected(token_of(write=("calm.a",)))
    (ask,) = publish(session, "calm.a")
    assert isinstance(ask, Ask)
    assert ask.publication is not None
    assert session.accepted(3, ask.publication, NOW) == [Append(3, ask.publication)]
    session.handle(messages.Refresh(id=4, token=token_of()), NOW)
    assert error(session.accepted(3, ask.publication, NOW)).code == "forbidden"
