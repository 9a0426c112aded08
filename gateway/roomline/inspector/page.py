"""The page itself: three files that are the same for everybody."""

from pathlib import Path
from typing import Final

from roomline.http.errors import ApiError, Failure
from roomline.http.handler import Handler

_STATIC: Final = Path(__file__).parent / "static"
_TYPES: Final = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}
FILES: Final = {
    r"/inspect": "inspector.html",
    r"/inspect/inspector.js": "inspector.js",
    r"/inspect/inspector.css": "inspector.css",
}
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:;"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class File(Handler):
    """One of them. Nobody gets any while the inspector is off."""

    def initialize(self, file: str, on: bool) -> None:
        self._file = file
        self._on = on

    def get(self) -> None:
        if not self._on:
            raise Failure(
                ApiError.INSPECTOR_OFF, "the inspector is off: no inspect_tokens are configured"
            )
        path = _STATIC / self._file
        self.set_header("Content-Type", f"{_TYPES[path.suffix]}; charset=UTF-8")
        self.set_header("Content-Security-Policy", _POLICY)
        self.set_header("Referrer-Policy", "no-referrer")
        self.finish(path.read_bytes())
