"""What all answers of the internal port have in common: headers, JSON, errors."""

from typing import Any

import msgspec
from tornado.web import HTTPError, RequestHandler, stream_request_body

from roomline.http.bearer import Bearers
from roomline.http.errors import ApiError, Failure

_RETRY_AFTER = "1"
_BY_STATUS = {
    400: ApiError.BAD_REQUEST,
    404: ApiError.NOT_FOUND,
    405: ApiError.METHOD_NOT_ALLOWED,
}


class Handler(RequestHandler):
    """Answers are never stored, never sniffed, and do not name the server's software."""

    def set_default_headers(self) -> None:
        self.clear_header("Server")
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Content-Type-Options", "nosniff")

    def compute_etag(self) -> None:
        """None: answers are not stored, so none is compared."""

    def answer(self, value: object, status: int = 200) -> None:
        """End the request with a value as JSON."""
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.finish(msgspec.json.encode(value))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Every error is ``{"code", "reason", "temporary"}``."""
        cause = kwargs["exc_info"][1] if "exc_info" in kwargs else None
        if isinstance(cause, Failure):
            error, reason = cause.error, cause.reason
        else:
            error = _BY_STATUS.get(status_code, ApiError.INTERNAL)
            reason = error.meaning
        if error is ApiError.UNAUTHORIZED:
            self.set_header("WWW-Authenticate", "Bearer")
        if error.temporary:
            self.set_header("Retry-After", _RETRY_AFTER)
        body = {"code": error.code, "reason": reason, "temporary": error.temporary}
        self.answer(body, error.status)

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """A failure is an answer like any other: only defects are logged."""
        if not isinstance(value, Failure | HTTPError):
            super().log_exception(typ, value, tb)


class ApiHandler(Handler):
    """For programs that hold an API token; there is no CORS, browsers are not among them."""

    api_tokens: tuple[str, ...]

    def prepare(self) -> None:
        if not self.api_tokens:
            raise Failure(ApiError.API_OFF, "the HTTP API is off: no api_tokens are configured")
        tokens = Bearers({str(place): token for place, token in enumerate(self.api_tokens)})
        if tokens.holder(self.request.headers.get("Authorization", "")) is None:
            raise Failure(
                ApiError.UNAUTHORIZED, "the header Authorization: Bearer needs a configured token"
            )


@stream_request_body
class NothingHere(Handler):
    """Every path that is not one of ours. What is sent there is not kept."""

    def nothing(self) -> None:
        """Said when the request has ended, and not before: its end may be unclear."""
        raise Failure(ApiError.NOT_FOUND, "there is nothing at this path")

    get = head = post = put = patch = delete = options = nothing

    def data_received(self, chunk: bytes) -> None:
        """Of no use to anybody."""
