"""htmlfile: a page that never ends loading, in a hidden frame; each frame is a script in it.

For Internet Explorer up to 9.
"""

from roomline.transport.framing import script_string
from roomline.transport.scripts import ScriptedHandler
from roomline.transport.streaming import StreamingReceiver

_PAGE = """<!doctype html>
<html><head>
  <meta http-equiv="X-UA-Compatible" content="IE=edge" />
  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />
</head><body><h2>Don't panic!</h2>
  <script>
    document.domain = document.domain;
    var c = parent.%s;
    c.start();
    function p(d) {c.message(d);};
    window.onload = function() {c.stop();};
  </script>"""

# Internet Explorer shows nothing of a page that is shorter.
_SHOWN = 1024


class HtmlFile(ScriptedHandler, StreamingReceiver):
    """``htmlfile``: the page."""

    methods = ("GET",)
    transport = "htmlfile"
    content_type = "text/html; charset=UTF-8"
    before = b"<script>\np("
    after = b");\n</script>\r\n"
    escape = staticmethod(script_string)

    def get(self, session_id: str) -> None:
        callback = self.callback()
        if callback is not None:
            page = (_PAGE % callback).encode()
            self.prelude = page.ljust(_SHOWN) + b"\r\n\r\n"
            self.set_header(
                "Content-Security-Policy", "default-src 'none'; script-src 'unsafe-inline'"
            )
            self.start(session_id)
