"""Publications kept in memory instead of sent, and assertions about them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from roomline.wire import (
    CONTROL_NAMESPACE,
    Envelope,
    Kind,
    Sender,
    json_of,
    namespace_of,
    shorten,
)

from django_roomline.exceptions import PublishError
from django_roomline.publishing import replaced_by

if TYPE_CHECKING:
    from unittest import TestCase as Base
else:
    Base = object

ANYTHING: Final = object()
"""A match that every publication has."""
MAX_LISTED: Final = 20
"""Publications that a failed assertion lists; it says how many there were."""


class Published(NamedTuple):
    """One publication as its subscribers would see it."""

    room: str
    data: Any
    kind: Kind
    key: str | None
    message_id: str
    sender: Sender | None

    def __str__(self) -> str:
        return f"{self.kind} to {self.room}: {shorten(json.dumps(self.data), 200)[1:-1]}"


class Recording:
    """What was published, in order; it takes the place of a connection to the broker.

    Everything before the broker is the real thing: rooms and data are checked, transactions
    decide. With `error` the broker refuses: every publication raises it, and none is recorded.
    """

    def __init__(self, error: PublishError | None = None) -> None:
        self.publications: list[Published] = []
        self.error = error

    def publish(self, envelope: Envelope, timeout: float) -> None:
        """Take one envelope; see `django_roomline.publishing.Publisher`."""
        if self.error is not None:
            raise self.error
        if namespace_of(envelope.room) == CONTROL_NAMESPACE:
            return  # a revocation, which is for gateways: no room has it
        assert envelope.message_id is not None, "publish() gives every publication an id"
        self.publications.append(
            Published(
                envelope.room,
                json.loads(json_of(envelope.body)),
                envelope.kind,
                envelope.key,
                envelope.message_id,
                envelope.sender,
            )
        )

    def disconnect(self) -> None:
        """There is no connection to close."""

    def clear(self) -> None:
        """Forget what was recorded so far."""
        self.publications.clear()

    def to(self, room: str) -> list[Any]:
        """The data of the room's publications."""
        return [published.data for published in self.publications if published.room == room]

    def assert_published(
        self,
        room: str,
        match: Any = ANYTHING,
        *,
        count: int | None = None,
        kind: Kind | None = None,
    ) -> None:
        """Fail unless the room got a publication that matches, or `count` of them.

        `match` is a function of the data; or a dict, of which the data must have every member,
        whatever else it has; or what the data must be equal to. Whoever wants a dict to be equal
        passes a function.
        """
        found = self._found(room, match, kind)
        if len(found) != count if count is not None else not found:
            wanted = "nothing" if count is None else f"{len(found)}, not {count}"
            raise AssertionError(f"{wanted} {_described(room, match, kind)}. {self}")

    def assert_not_published(
        self, room: str, match: Any = ANYTHING, *, kind: Kind | None = None
    ) -> None:
        """Fail if the room got a publication that matches."""
        if found := self._found(room, match, kind):
            raise AssertionError(f"{len(found)} {_described(room, match, kind)}. {self}")

    def assert_nothing_published(self) -> None:
        """Fail if there was any publication at all."""
        if self.publications:
            raise AssertionError(f"nothing was to be published. {self}")

    def __str__(self) -> str:
        if not self.publications:
            return "Nothing was published at all"
        listed = [f"  {published}" for published in self.publications[:MAX_LISTED]]
        more = len(self.publications) - MAX_LISTED
        if more > 0:
            listed.append(f"  and {more} more")
        return "\n".join(["Published were:", *listed])

    def _found(self, room: str, match: Any, kind: Kind | None) -> list[Published]:
        return [
            published
            for published in self.publications
            if published.room == room
            and kind in (None, published.kind)
            and _matches(match, published.data)
        ]


@contextmanager
def recording(*, error: PublishError | None = None) -> Iterator[Recording]:
    """Within, publications of all threads are recorded and none reaches a broker.

    What is published through the transactional outbox is a row of the database until
    `relay_outbox` is called.
    """
    recorded = Recording(error)
    with replaced_by(recorded):
        yield recorded


def relay_outbox(using: str = "default") -> int:
    """Publish now what waits in the outbox, as ``manage.py roomline_relay`` does it; returns how
    many that were. Raises the `PublishError` of a broker that refuses."""
    from django_roomline.relay import Outcome, Relay  # wants models, which exist by now

    relay = Relay(using, _NeverStop())
    if relay.drain() is not Outcome.DONE:
        raise AssertionError("some of the outbox waits: another relay is at work, or it came back")
    return relay.published


class PublishAssertions(Base):
    """For test cases: ``class OrderTests(PublishAssertions, TestCase)``.

    Every test has a `recording` of its own, in ``self.published``. A ``TestCase`` never commits:
    wrap what commits in ``with self.captureOnCommitCallbacks(execute=True):``, or use
    ``TransactionTestCase``.
    """

    published: Recording

    def setUp(self) -> None:
        """Begin to record."""
        super().setUp()
        recorder = recording()
        self.published = recorder.__enter__()
        self.addCleanup(recorder.__exit__, None, None, None)

    def assertPublished(
        self,
        room: str,
        match: Any = ANYTHING,
        *,
        count: int | None = None,
        kind: Kind | None = None,
    ) -> None:
        """See `Recording.assert_published`."""
        self.published.assert_published(room, match, count=count, kind=kind)

    def assertNotPublished(
        self, room: str, match: Any = ANYTHING, *, kind: Kind | None = None
    ) -> None:
        """See `Recording.assert_not_published`."""
        self.published.assert_not_published(room, match, kind=kind)

    def assertNothingPublished(self) -> None:
        """See `Recording.assert_nothing_published`."""
        self.published.assert_nothing_published()


class _NeverStop:
    """A relay in a test works until nothing waits."""

    asked = False

    def wait(self, seconds: float) -> None:
        raise AssertionError("draining an outbox does not wait")


def _matches(match: Any, data: Any) -> bool:
    if match is ANYTHING:
        return True
    if callable(match):
        return bool(match(data))
    if isinstance(match, dict) and isinstance(data, dict):
        return all(name in data and data[name] == value for name, value in match.items())
    return bool(match == data)


def _described(room: str, match: Any, kind: Kind | None) -> str:
    of_kind = "" if kind is None else f" of kind {kind}"
    matching = "" if match is ANYTHING else f" that matches {shorten(repr(match), 200)[1:-1]}"
    return f"was published to {room}{of_kind}{matching}"
