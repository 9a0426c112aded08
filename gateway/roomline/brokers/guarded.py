"""A listener that cannot harm its broker: what it raises is logged, and reading goes on."""

import logging

from roomline.broker import Listener
from roomline.wire import Envelope, shorten

_logger = logging.getLogger(__name__)


class Guarded:
    """Passes everything on to a `Listener`, and nothing that this raises back to the broker.

    A listener must not raise. If it does all the same, for whatever entry, the defect must cost
    that entry alone and not the delivery of all that follow.
    """

    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    def deliver(self, partition: int, offset: int, envelope: Envelope) -> None:
        try:
            self._listener.deliver(partition, offset, envelope)
        except Exception:
            room = shorten(envelope.room)
            _logger.exception(
                "the entry at offset %d was not handled", offset, extra={"room": room}
            )

    def caught_up(self) -> None:
        try:
            self._listener.caught_up()
        except Exception:
            _logger.exception("that the log has been read was not handled")

    def cut_off(self, reason: str) -> None:
        try:
            self._listener.cut_off(reason)
        except Exception:
            _logger.exception("that the log cannot be read was not handled: %s", reason)

    def log_reset(self, reason: str) -> None:
        try:
            self._listener.log_reset(reason)
        except Exception:
            _logger.exception("that the log is another one was not handled: %s", reason)
