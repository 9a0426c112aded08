"""Requests that wait for their answers: each ends once, at its time-out at the latest."""

import asyncio

from roomline.broker import BrokerError, PublishUnconfirmed
from roomline.requests import Answer, Request


class Awaited:
    """The requests of one node that are underway, by their ids."""

    def __init__(self) -> None:
        self._futures: dict[str, asyncio.Future[Answer]] = {}

    def __len__(self) -> int:
        return len(self._futures)

    def __contains__(self, id: str) -> bool:
        return id in self._futures

    def add(self, request: Request) -> asyncio.Future[Answer]:
        """Wait for an answer; see `roomline.broker.Requests.send`."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        self._futures[request.id] = future
        timer = loop.call_later(
            request.timeout,
            self.fail,
            request.id,
            PublishUnconfirmed(f"no answer within {request.timeout:g} s"),
        )
        future.add_done_callback(lambda _: timer.cancel())
        return future

    def answer(self, id: str, answer: Answer) -> bool:
        """An answer has come; False: nobody waits for it any more."""
        future = self._futures.pop(id, None)
        if future is None or future.done():
            return False
        future.set_result(answer)
        return True

    def fail(self, id: str, error: BrokerError) -> None:
        """There will be no answer, as far as this node can know."""
        future = self._futures.pop(id, None)
        if future is not None and not future.done():
            future.set_exception(error)

    def fail_all(self, reason: str) -> None:
        """Answers can reach this node no more."""
        for id in list(self._futures):
            self.fail(id, PublishUnconfirmed(reason))
