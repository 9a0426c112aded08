"""What a client is told when a handler has answered."""

import json
from typing import Any

from msgspec import Raw

from roomline.core import messages
from roomline.core.codes import ErrorCode
from roomline.core.session import Ask, Effect, Reply, Session
from roomline.requests import Answer
from roomline.wire import Envelope, InvalidData, body_of, json_of

_CODES = {code.code: code for code in ErrorCode}


class BadModerator(Exception):
    """A moderator's response is no publication; the text is for operators."""


def effects_of(answer: Answer, ask: Ask, session: Session, now: float) -> list[Effect]:
    """What follows from the answer to what `session` has asked.

    Raises `BadModerator`, and then nothing is to be published.
    """
    if ask.publication is None:
        return [Reply(_reply(ask.id, answer))]
    if answer.code is None:
        return session.accepted(ask.id, _changed(ask.publication, ask.name, answer), now)
    return [Reply(_refused(ask.id, answer))]


def _reply(id: int, answer: Answer) -> messages.Message:
    if answer.code is None:
        return messages.Response(id=id, data=Raw(json_of(answer.body).encode()))
    return messages.error(id, _CODES[answer.code], answer.reason, answer.refusal)


def _changed(publication: Envelope, moderator: str, answer: Answer) -> Envelope:
    """The publication as its moderator wants it: from the same sender, under the same key."""
    try:
        response: Any = json.loads(json_of(answer.body))
        return publication._replace(body=body_of(response["data"]))
    except (LookupError, TypeError, InvalidData) as error:
        raise BadModerator(
            f"the response of {moderator} has no data that can be published: {error!r}"
        ) from None


def _refused(id: int, answer: Answer) -> messages.Error:
    """The answer to ``publish``, in the words that a publisher knows."""
    match answer.code:
        case "request_failed":
            return messages.error(id, ErrorCode.REJECTED, answer.reason, answer.refusal)
        case "forbidden":
            return messages.error(id, ErrorCode.FORBIDDEN, answer.reason)
        case "request_timeout":
            reason = "the moderator has not answered: try again with the same key"
            return messages.error(id, ErrorCode.UNAVAILABLE, reason)
    return messages.error(id, ErrorCode.REJECTED, "nobody moderates this room now")
