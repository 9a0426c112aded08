"""Where a worker gets requests from: the interface, and which one is meant."""

from typing import Protocol

from roomline.requests import Answer, DeadRequest, Request

from django_roomline import conf


class SourceUnavailable(Exception):
    """Requests cannot be had for now: try again. The text is for operators."""


class Delivery(Protocol):
    """A request that this worker has, for the `attempt`-th time that anybody has it.

    Its methods may be called from any thread, take a bounded time, and raise nothing: if a
    request is lost to this worker meanwhile, another one gets it.
    """

    request: Request
    attempt: int

    def answer(self, answer: Answer) -> None:
        """Tell whoever waits for it."""

    def finish(self) -> None:
        """It is done with."""

    def fail(self, pause: float) -> None:
        """Its handler has met a defect: it is to be tried again after `pause` seconds. After the
        last attempt it is answered, and kept among the dead."""


class Source(Protocol):
    """Requests for one worker. All but a delivery's methods belong to one thread."""

    def take(self, seconds: float) -> Delivery | None:
        """The next request, or None if there is none for so long.

        What was taken before is kept alive meanwhile. Raises `SourceUnavailable`.
        """

    def stop(self) -> None:
        """Take nothing more, for ever: let others have it."""

    def tend(self, seconds: float) -> None:
        """Keep alive what was taken, for so long, and take nothing. Raises `SourceUnavailable`."""

    def close(self) -> None:
        """Give up what was taken and is not finished: others get it."""


class Graveyard(Protocol):
    """The dead. Its methods raise `SourceUnavailable`."""

    def dead(self) -> list[DeadRequest]:
        """All of them, oldest first."""

    def requeue_dead(self) -> int:
        """Let workers have them once more; returns how many. Nobody waits for the answers."""


def source_of(settings: conf.Settings, threads: int) -> Source:
    """Requests for a worker that carries out so many at once."""
    if settings.embedded_path is not None:
        from django_roomline.embedded_requests import EmbeddedSource

        return EmbeddedSource(settings.embedded_path)
    # Not at the top of the file: projects on the embedded log need no pika.
    from django_roomline.amqp_requests import AmqpSource

    return AmqpSource(settings.broker, settings.gateway_users, threads)


def graveyard_of(settings: conf.Settings) -> Graveyard:
    """The dead."""
    if settings.embedded_path is not None:
        from django_roomline.embedded_requests import EmbeddedGraveyard

        return EmbeddedGraveyard(settings.embedded_path)
    from django_roomline.amqp_requests import AmqpGraveyard

    return AmqpGraveyard(settings.broker, settings.gateway_users)
