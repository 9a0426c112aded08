"""Who may connect, read and write: namespaces' rules over the grants of tokens."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

from roomline.core.codec import ProtocolError
from roomline.core.codes import ErrorCode
from roomline.core.messages import User
from roomline.core.revocations import Revocations
from roomline.tokens import (
    Grants,
    Keyring,
    RoomClaims,
    TokenError,
    TokenExpired,
    verify_connection,
    verify_room,
)
from roomline.wire import NOTICES_ROOM, InvalidName, check_room, namespace_of, shorten, user_room


class Rule(Enum):
    """Whom a namespace lets do something: a ceiling over whatever tokens grant."""

    PUBLIC = "public"
    AUTHENTICATED = "authenticated"
    TOKEN = "token"  # noqa: S105 - the name of a rule: only with a grant or a room token
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Namespace:
    """The rules of all rooms whose first word it is. `history` counts publications, its age is
    in seconds. `moderate` names the handler that clients' publications have to pass."""

    read: Rule
    write: Rule
    history: int
    history_age: float
    moderate: str | None = None


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a session acts for. `id` is never shown to other clients; `generation` is that of the
    connection token."""

    id: str
    user: User | None
    grants: Grants
    expires: float | None
    generation: int = 0


@dataclass(frozen=True, slots=True)
class Access:
    """What a room token gives to a subscription, in seconds since the epoch: until when it lasts
    (None: as long as the session) and until when it may publish too (None: not by this token).
    `generation` is the token's."""

    expires: float | None = None
    write_until: float | None = None
    generation: int = 0


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules of a gateway. Without `keys` no token is accepted; what `revocations` denies,
    no token gives."""

    namespaces: Mapping[str, Namespace]
    keys: Keyring | None
    anonymous: bool
    revocations: Revocations = field(default_factory=Revocations)

    def authenticate(self, token: str | None, client: str, now: float) -> Principal:
        """The principal of a connection; raises `ProtocolError`.

        `client` is the random id of an anonymous client.
        """
        if token is None:
            if not self.anonymous:
                raise ProtocolError(
                    ErrorCode.TOKEN_REQUIRED,
                    "connect needs a token: anonymous clients are not accepted here",
                )
            return Principal(f"anonymous:{client}", None, Grants(), None)
        try:
            claims = verify_connection(self._keyring(), token, now)
        except TokenError as error:
            raise _refused(error) from None
        user = User(id=claims.user_id, name=claims.name)
        principal = Principal(
            f"user:{user.id}", user, claims.grants, claims.expires, claims.generation
        )
        if self.revoked(principal):
            raise ProtocolError(ErrorCode.TOKEN_REVOKED, "the token was revoked: get a new one")
        return principal

    def revoked(self, principal: Principal) -> bool:
        """Whether the token that the principal came with counts no more."""
        user = principal.user
        return user is not None and self.revocations.denies_user(user.id, principal.generation)

    def automatic_rooms(self, principal: Principal) -> list[str]:
        """The rooms that push to this principal without a subscribe."""
        rooms = [NOTICES_ROOM]
        if principal.user is not None:
            rooms.append(user_room(principal.user.id))
        return [room for room in rooms if namespace_of(room) in self.namespaces]

    def check_read(self, principal: Principal, room: str, token: str | None, now: float) -> Access:
        """Raise `ProtocolError` unless the principal may read the room, with `token` or without.
        ``token_revoked``: see `check_write`."""
        rule = self.namespace(room).read
        claims = None if token is None else self._room_claims(principal, room, token, now)
        access = Access(
            write_until=claims.expires if claims and claims.write else None,
            generation=claims.generation if claims else 0,
        )
        if room in self.automatic_rooms(principal):
            return access
        if rule is Rule.TOKEN and principal.user is not None:
            granted = principal.grants.may_read(room)
            if granted and self._counts(principal, room):
                return access
            if claims is None and granted:
                raise _outdated(room)
            if claims is None:
                raise ProtocolError(
                    ErrorCode.ROOM_TOKEN_REQUIRED, f"room {room!r} needs a room token to be read"
                )
            return replace(access, expires=claims.expires)
        self._check_simple(rule, principal, room, "read")
        return access

    def check_write(
        self, principal: Principal, room: str, access: Access | None, now: float
    ) -> None:
        """Raise `ProtocolError` unless the principal may publish to the room. `access` is what
        its subscription to that room got, if there is one. ``token_revoked``: the connection token
        did let it, and another one may."""
        rule = self.namespace(room).write
        if rule is Rule.TOKEN and principal.user is not None:
            granted = principal.grants.may_write(room)
            if granted and self._counts(principal, room):
                return
            until = access.write_until if access and self._counts(principal, room, access) else None
            if until is None or now >= until:
                if granted:
                    raise _outdated(room)
                raise ProtocolError(
                    ErrorCode.FORBIDDEN, f"no token lets this client publish to room {room!r}"
                )
            return
        self._check_simple(rule, principal, room, "published to")

    def still_reads(self, principal: Principal, room: str, access: Access, now: float) -> bool:
        """Whether a subscription may go on, under the rules and revocations as they are now."""
        if access.expires is not None:  # it is held under a room token
            return self._counts(principal, room, access)
        try:
            self.check_read(principal, room, None, now)
        except ProtocolError:
            return False
        return True

    def namespace(self, room: str) -> Namespace:
        """The namespace of a room; raises `ProtocolError` for a bad name or unknown namespace."""
        try:
            check_room(room)
        except InvalidName as error:
            raise ProtocolError(ErrorCode.ROOM_INVALID, str(error)) from None
        namespace = self.namespaces.get(namespace_of(room))
        if namespace is None:
            raise ProtocolError(
                ErrorCode.ROOM_UNKNOWN,
                f"room {shorten(room)} is in no namespace of this gateway;"
                f" there are {', '.join(sorted(self.namespaces))}",
            )
        return namespace

    def needs_token(self, room: str) -> bool:
        """Whether reading the room takes a grant or a room token."""
        return self.namespace(room).read is Rule.TOKEN

    def _counts(self, principal: Principal, room: str, access: Access | None = None) -> bool:
        """Whether the word of a token on the room counts: the principal's, or of `access`."""
        generation = principal.generation if access is None else access.generation
        user = principal.user
        return not (
            self.revocations.denies_room(room, generation)
            or (user is not None and self.revocations.denies_user(user.id, generation))
        )

    def _check_simple(self, rule: Rule, principal: Principal, room: str, verb: str) -> None:
        if rule is Rule.PUBLIC or (rule is Rule.AUTHENTICATED and principal.user is not None):
            return
        whom = {Rule.NONE: "by no client"}.get(rule, "by authenticated clients only")
        raise ProtocolError(ErrorCode.FORBIDDEN, f"room {room!r} may be {verb} {whom}")

    def _room_claims(self, principal: Principal, room: str, token: str, now: float) -> RoomClaims:
        try:
            claims = verify_room(self._keyring(), token, now)
        except TokenError as error:
            raise _refused(error) from None
        if claims.room != room:
            raise ProtocolError(
                ErrorCode.TOKEN_INVALID,
                f"the token is for room {shorten(claims.room)}, not {room!r}",
            )
        if principal.user is None or principal.user.id != claims.user_id:
            raise ProtocolError(ErrorCode.TOKEN_INVALID, "the room token is for another user")
        if not self._counts(principal, room, Access(generation=claims.generation)):
            raise ProtocolError(
                ErrorCode.TOKEN_REVOKED, "the room token was revoked: get a new one"
            )
        return claims

    def _keyring(self) -> Keyring:
        if self.keys is None:
            raise TokenError("this gateway has no keys to check tokens with")
        return self.keys


def _outdated(room: str) -> ProtocolError:
    return ProtocolError(
        ErrorCode.TOKEN_REVOKED,
        f"what the token says of room {room!r} was revoked: refresh with a new one",
    )


def _refused(error: TokenError) -> ProtocolError:
    expired = isinstance(error, TokenExpired)
    code = ErrorCode.TOKEN_EXPIRED if expired else ErrorCode.TOKEN_INVALID
    return ProtocolError(code, str(error))
