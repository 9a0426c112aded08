"""Requests for clients: what they may have on its way, and what they are told became of it."""

import asyncio
import logging
import secrets
from collections.abc import Callable, Mapping
from functools import partial

from roomline.broker import BrokerError, BrokerUnavailable, PublishRejected, Requests
from roomline.core import messages
from roomline.core.answers import BadModerator, effects_of
from roomline.core.codes import ErrorCode
from roomline.core.counters import Counters
from roomline.core.limits import NodeLimits
from roomline.core.session import Ask, Effect, Reply
from roomline.live import LiveSession
from roomline.requests import Answer, Request, error_answer

log = logging.getLogger(__name__)

Run = Callable[[list[Effect]], None]
"""Runs effects of the session that has asked, if it is still there."""


class Asking:
    """The way of all requests of one node to the workers and back.

    Without `requests` this node offers none. `clock` gives seconds since the epoch.
    """

    def __init__(
        self,
        requests: Requests | None,
        limits: NodeLimits,
        counters: Counters,
        clock: Callable[[], float],
    ) -> None:
        self._requests = requests
        self._limits = limits
        self._counters = counters
        self._clock = clock

    async def start(self) -> None:
        """See `Requests.start`."""
        if self._requests is not None:
            await self._requests.start()

    async def close(self) -> None:
        """See `Requests.close`."""
        if self._requests is not None:
            await self._requests.close()

    @property
    def reconnects(self) -> Mapping[str, int]:
        """See `Requests.reconnects`."""
        return self._requests.reconnects if self._requests is not None else {}

    def ask(self, live: LiveSession, effect: Ask, run: Run) -> None:
        """Have a handler answer; the client is told by `run`."""
        if self._requests is None:
            reason = "requests are not offered by this gateway"
            _fail(effect, run, ErrorCode.UNSUPPORTED, reason)
        elif live.unanswered >= self._limits.unanswered:
            reason = f"at most {self._limits.unanswered} requests may wait for their answer"
            _fail(effect, run, ErrorCode.RATE_LIMITED, reason)
        else:
            live.unanswered += 1
            request = Request(
                secrets.token_hex(16),
                effect.name,
                effect.body,
                effect.sender,
                int(self._clock() * 1000),
                effect.timeout,
            )
            future = self._requests.send(request)
            future.add_done_callback(partial(self._ended, live, effect, run))

    def _ended(
        self, live: LiveSession, effect: Ask, run: Run, future: asyncio.Future[Answer]
    ) -> None:
        live.unanswered -= 1
        error = future.exception()
        match error:
            case None:
                self._answered(live, effect, run, future.result())
            case BrokerUnavailable():
                self._count(ErrorCode.UNAVAILABLE)
                reason = "no handler could be reached: try again"
                _fail(effect, run, ErrorCode.UNAVAILABLE, reason)
            case PublishRejected():
                about = {"session": live.session.id}
                log.warning("a request for %s was refused: %s", effect.name, error, extra=about)
                self._count(ErrorCode.REJECTED)
                reason = "the broker refuses this request"
                _fail(effect, run, ErrorCode.REJECTED, reason)
            case BrokerError():
                about = {"session": live.session.id}
                log.info("a request for %s was not answered: %s", effect.name, error, extra=about)
                reason = "no answer came: it may or may not have been carried out"
                self._answered(live, effect, run, error_answer("request_timeout", reason))
            case _:
                raise error

    def _answered(self, live: LiveSession, effect: Ask, run: Run, answer: Answer) -> None:
        self._counters.requests[answer.code or "answered"] += 1
        try:
            effects = effects_of(answer, effect, live.session, self._clock())
        except BadModerator as error:
            log.error("%s", error, extra={"session": live.session.id})
            _fail(effect, run, ErrorCode.REJECTED, "this publication could not be moderated")
        else:
            run(effects)

    def _count(self, code: ErrorCode) -> None:
        self._counters.requests[code.code] += 1


def _fail(effect: Ask, run: Run, code: ErrorCode, reason: str) -> None:
    run([Reply(messages.error(effect.id, code, reason))])
