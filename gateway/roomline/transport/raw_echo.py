"""A raw websocket that sends binary messages back, too: for suites that ask that of an echo."""

from roomline.transport import framing
from roomline.transport.endpoint import Endpoint
from roomline.transport.websocket import RawWebSocket


class RawEcho(RawWebSocket):
    """Text goes through a session, as everybody's does; only what sessions refuse is answered
    here."""

    def on_message(self, message: str | bytes) -> None:
        if isinstance(message, bytes):
            self._write(framing.data_frame(message, framing.BINARY))
        else:
            super().on_message(message)


class EchoEndpoint(Endpoint):
    """An endpoint with such a raw websocket."""

    raw_handler = RawEcho
