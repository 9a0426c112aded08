"""The errors of the HTTP API: one table of codes with their statuses."""

from enum import Enum
from typing import Final


class ApiError(Enum):
    """Status, code, whether trying again later can help, meaning. Where a client of the gateway
    can meet the same error, the code is the same (`roomline.core.codes.ErrorCode`)."""

    BAD_REQUEST = (400, "bad_request", False, "the request is not one of this API")
    ROOM_INVALID = (400, "room_invalid", False, "not a well-formed room name")
    UNAUTHORIZED = (401, "unauthorized", False, "no token, or not one of those configured")
    API_OFF = (403, "api_off", False, "no API token is configured, so nobody may use the API")
    INSPECTOR_OFF = (403, "inspector_off", False, "no inspector token is configured")
    FORBIDDEN = (403, "forbidden", False, "the room is not for clients: control steers gateways")
    NOT_FOUND = (404, "not_found", False, "there is nothing at this path")
    ROOM_UNKNOWN = (404, "room_unknown", False, "the room's namespace is not configured")
    METHOD_NOT_ALLOWED = (405, "method_not_allowed", False, "the path does not take this method")
    TOO_LARGE = (413, "too_large", False, "the data exceeds the size limit of a publication")
    REJECTED = (422, "rejected", False, "the broker refuses this publication for good")
    INTERNAL = (500, "internal", False, "a defect of the gateway: its log has the details")
    TOO_MANY = (503, "too_many", True, "as many look on at this node as may")
    CATCHING_UP = (503, "catching_up", True, "the node cannot read the log up to its end now")
    UNAVAILABLE = (503, "unavailable", True, "the broker did not confirm: retry with the same key")

    def __init__(self, status: int, code: str, temporary: bool, meaning: str) -> None:
        self.status: Final = status
        self.code: Final = code
        self.temporary: Final = temporary
        self.meaning: Final = meaning


class Failure(Exception):
    """A request that is answered with an error; `reason` is safe to show to whoever asked."""

    def __init__(self, error: ApiError, reason: str) -> None:
        super().__init__(reason)
        self.error = error
        self.reason = reason
