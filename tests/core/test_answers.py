"""roomline.core.answers: what a client is told when a handler has answered"""

import json

import pytest
from roomline.core import messages
from roomline.core.answers import BadModerator, effects_of
from roomline.core.codec import encode
from roomline.core.limits import NodeLimits
from roomline.core.policy import Namespace, Policy, Rule
from roomline.core.session import Append, Ask, Effect, Reply, Session
from roomline.requests import Answer, ErrorAnswer, error_answer
from roomline.wire import Envelope, Sender

NOW = 1_000_000.0
PUBLICATION = Envelope("calm.a", b'"damn"', "m-1", 5, sender=Sender("7", "Ann"), key="k")
REQUEST = Ask(4, "orders.cancel", b"1", None, 30)
MODERATED = Ask(4, "calm.check", b"1", None, 8, PUBLICATION)


@pytest.fixture
def session() -> Session:
    policy = Policy({"calm": Namespace(Rule.PUBLIC, Rule.PUBLIC, 10, 60)}, None, anonymous=True)
    session = Session("s-1", "f" * 32, policy, NodeLimits(), NOW)
    session.handle(messages.Connect(id=1, version=1), NOW)
    return session


def text(effects: list[Effect]) -> object:
    (effect,) = effects
    assert isinstance(effect, Reply)
    return json.loads(encode(effect.message))


def test_a_response(session: Session) -> None:
    effects = effects_of(Answer(b'{"a":[1,null]}'), REQUEST, session, NOW)
    assert text(effects) == {"type": "response", "id": 4, "data": {"a": [1, None]}}


def test_a_response_that_is_no_json_is_text(session: Session) -> None:
    effects = effects_of(Answer(b"{not json"), REQUEST, session, NOW)
    assert text(effects) == {"type": "response", "id": 4, "data": "{not json"}


@pytest.mark.parametrize(
    ("code", "temporary"),
    [
        ("request_failed", False),
        ("request_unknown", False),
        ("request_timeout", True),
        ("forbidden", False),
    ],
)
def test_an_error(session: Session, code: ErrorAnswer, temporary: bool) -> None:
    effects = effects_of(error_answer(code, "no"), REQUEST, session, NOW)
    assert text(effects) == {
        "type": "error",
        "id": 4,
        "code": code,
        "reason": "no",
        "temporary": temporary,
    }


def test_the_code_of_a_refusal(session: Session) -> None:
    effects = effects_of(error_answer("request_failed", "no", "shipped"), REQUEST, session, NOW)
    (effect,) = effects
    assert isinstance(effect, Reply)
    assert isinstance(effect.message, messages.Error)
    assert effect.message.refusal == "shipped"


def test_a_moderator_changes_data_and_nothing_else(session: Session) -> None:
    answer = Answer(b'{"data":"d***","room":"calm.other","key":"x"}')
    effects = effects_of(answer, MODERATED, session, NOW)
    assert effects == [Append(4, PUBLICATION._replace(body=b'"d***"'))]


@pytest.mark.parametrize("body", [b"null", b"[1]", b"{}", b"no json", b'"data"'])
def test_a_moderator_must_return_data(session: Session, body: bytes) -> None:
    with pytest.raises(BadModerator, match=r"calm\.check has no data"):
        effects_of(Answer(body), MODERATED, session, NOW)


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("request_failed", "rejected"),
        ("request_unknown", "rejected"),
        ("request_timeout", "unavailable"),
        ("forbidden", "forbidden"),
    ],
)
def test_a_publication_that_does_not_pass(session: Session, code: ErrorAnswer, told: str) -> None:
    (effect,) = effects_of(error_answer(code, "no"), MODERATED, session, NOW)
    assert isinstance(effect, Reply)
    assert isinstance(effect.message, messages.Error)
    assert effect.message.code == told
