"""What the client raises.

::

    ClientError
    ├── ConnectionFailed     no connection could be opened
    ├── ConnectionClosed     an open connection ended, with a code and a reason
    ├── CommandRefused       the gateway answered a command with an error
    ├── NoAnswer             the gateway did not answer a command in time
    ├── TokenUnavailable     the application's token callback failed
    └── SubscriptionEnded    the gateway ended a subscription for good
"""


class ClientError(Exception):
    """Anything that goes wrong between this client and a gateway."""


class ConnectionFailed(ClientError):
    """No connection could be opened to an endpoint; the text says why."""


class ConnectionClosed(ClientError):
    """A connection ended. `code` is from the close frame, or 1006 when there was none."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason

    def __str__(self) -> str:
        return f"the connection was closed with {self.code}: {self.reason}"

    def again(self) -> "ConnectionClosed":
        """A copy to raise: one exception raised in several places grows by each."""
        return ConnectionClosed(self.code, self.reason)

    @property
    def final(self) -> bool:
        """Whether the gateway does not want this client back (3500-3999)."""
        return 3500 <= self.code <= 3999


class CommandRefused(ClientError):
    """An ``error`` reply. `code` is one of `roomline.core.codes.ErrorCode`, `refusal` a handler's
    own code for why it refuses."""

    def __init__(self, code: str, reason: str, temporary: bool, refusal: str | None = None) -> None:
        super().__init__(code, reason, temporary, refusal)
        self.code = code
        self.reason = reason
        self.temporary = temporary
        self.refusal = refusal

    def __str__(self) -> str:
        return f"{self.code}: {self.reason}"


class NoAnswer(ClientError):
    """No answer within the time given: the outcome of the command is unknown."""


class TokenUnavailable(ClientError):
    """The application's token callback raised; its exception is the cause of this one. Unless
    `temporary`, it is not asked again."""

    def __init__(self, reason: str, temporary: bool) -> None:
        super().__init__(reason, temporary)
        self.reason = reason
        self.temporary = temporary

    def __str__(self) -> str:
        return self.reason


class SubscriptionEnded(ClientError):
    """The gateway ended a subscription and it cannot be renewed."""

    def __init__(self, room: str, code: str, reason: str) -> None:
        super().__init__(room, code, reason)
        self.room = room
        self.code = code
        self.reason = reason

    def __str__(self) -> str:
        return f"the subscription to {self.room} has ended, {self.code}: {self.reason}"
