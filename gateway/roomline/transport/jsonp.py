"""jsonp-polling: each answer is a script that calls the page's function with one frame.

For browsers that can ask no other server than the page's, nor load a frame from one.
"""

from urllib.parse import parse_qs

from roomline.transport.framing import MalformedBody, script_string
from roomline.transport.polling import PollingReceiver, XhrSend
from roomline.transport.scripts import ScriptedHandler


class Jsonp(ScriptedHandler, PollingReceiver):
    """``jsonp``: the frame, as the argument of a call."""

    methods = ("GET",)
    transport = "jsonp-polling"

    def get(self, session_id: str) -> None:
        callback = self.callback()
        if callback is not None:
            self._callback = callback
            self.start(session_id)

    def wrap(self, frame: str) -> str:
        # The comment: an answer that begins with what somebody chose can be taken for something
        # else than a script, a Flash film for one.
        return f"/**/{self._callback}({script_string(frame)});\r\n"


class JsonpSend(ScriptedHandler, XhrSend):
    """``jsonp_send``: messages from a form, since a script cannot send much."""

    def payload(self, body: bytes) -> bytes:
        """The form's field ``d``, or the whole body if it is no form."""
        content_type = self.request.headers.get("Content-Type", "")
        if content_type.partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
            return body
        try:
            fields = parse_qs(body.decode("ascii"), max_num_fields=10, errors="strict")
        except ValueError:
            raise MalformedBody("Broken JSON encoding.") from None
        return fields.get("d", [""])[-1].encode()

    def accepted(self) -> None:
        self.set_header("Content-Type", "text/plain; charset=UTF-8")
        self.finish("ok")
