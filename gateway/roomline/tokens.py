"""Sign and verify tokens (JWT, RFC 7519). The time is an argument, in seconds since the epoch.

Two sorts, told apart by audience so that neither passes for the other: a *connection token* says
who connects and which rooms they may read and write; a *room token* lets one subject into one
room.

Both carry a *generation*: the signer's count of revocations, read before the rights were. A
revocation of that user or room with a higher number makes the token, or its word on that room,
count no more.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import jwt

from roomline.wire import (
    InvalidName,
    check_room,
    check_user_id,
    is_generation,
    shorten,
    well_formed,
)

CONNECTION_AUDIENCE: Final = "roomline"
ROOM_AUDIENCE: Final = "roomline-room"
MAX_LIFETIME: Final = 86_400
"""No token lives longer (seconds), whatever it says: a leaked one must end."""
CONTROL_RETENTION_SECONDS: Final = 2 * MAX_LIFETIME
"""How long revocations stay in their log: longer than any token that they deny is good."""
LEEWAY: Final = 30
"""How far the signer's clock may be ahead of ours, in seconds."""
MIN_SECRET_BYTES: Final = 32

_ALGORITHM = "HS256"


class TokenError(Exception):
    """A token that is not accepted; the text says why and is safe to show to the client."""


class TokenExpired(TokenError):
    """A token that was good until its expiry."""


class Keyring:
    """The secrets by key id (``kid``). The first one signs; all of them verify, so that a key is
    rotated by putting the new one first and taking the old one away a token's lifetime later."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        if not secrets:
            raise ValueError("at least one key is needed, as kid and secret")
        for kid, secret in secrets.items():
            if len(secret.encode()) < MIN_SECRET_BYTES:
                raise ValueError(
                    f"the secret of key {shorten(kid)} is {len(secret.encode())} bytes,"
                    f" at least {MIN_SECRET_BYTES} are needed"
                )
        self._secrets = dict(secrets)

    def sign(self, claims: Mapping[str, Any]) -> str:
        """The token with these claims, signed with the first key."""
        kid, secret = next(iter(self._secrets.items()))
        return jwt.encode(dict(claims), secret, algorithm=_ALGORITHM, headers={"kid": kid})

    def open(self, token: str, audience: str, now: float) -> dict[str, Any]:
        """The claims of a token whose signature, audience and times are good, else `TokenError`."""
        try:
            kid = jwt.get_unverified_header(token).get("kid")
            if kid not in self._secrets:
                raise TokenError(f"the token names key {shorten(kid)}, which is not known here")
            claims: dict[str, Any] = jwt.decode(
                token,
                self._secrets[kid],
                algorithms=[_ALGORITHM],
                audience=audience,
                # The times are checked below, against the given clock.
                options={
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                    "require": ["exp", "iat", "sub", "aud"],
                },
            )
        except (jwt.InvalidTokenError, ValueError, RecursionError) as error:
            # Text that UTF-8 cannot carry is no InvalidTokenError to PyJWT, nor, in its older
            # releases, is a header nested a thousand deep.
            raise TokenError(f"the token is not accepted: {error}") from None
        issued, expires = _seconds(claims, "iat"), _seconds(claims, "exp")
        if issued > now + LEEWAY:
            raise TokenError("the token was issued in the future: check the clocks")
        if "nbf" in claims and _seconds(claims, "nbf") > now + LEEWAY:
            raise TokenError("the token is not good yet")
        if expires - issued > MAX_LIFETIME:
            raise TokenError(f"the token lives longer than {MAX_LIFETIME} seconds")
        if expires <= now:
            raise TokenExpired("the token has expired")
        return claims


class Grants(NamedTuple):
    """Rooms by exact name, or by ``prefix.**`` for everything below a prefix."""

    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()

    def may_read(self, room: str) -> bool:
        return _granted(self.read, room)

    def may_write(self, room: str) -> bool:
        return _granted(self.write, room)


class ConnectionClaims(NamedTuple):
    """What a connection token says. `expires` is in seconds since the epoch."""

    user_id: str
    name: str
    expires: float
    grants: Grants
    generation: int


class RoomClaims(NamedTuple):
    """What a room token says. Reading is implied; `write` allows publishing too."""

    user_id: str
    room: str
    expires: float
    write: bool
    generation: int


def sign_connection(
    keys: Keyring,
    user_id: str,
    *,
    now: float,
    lifetime: int,
    name: str = "",
    grants: Grants = Grants(),  # noqa: B008 - an immutable value
    generation: int = 0,
) -> str:
    """A connection token for a user, good for `lifetime` seconds (at most `MAX_LIFETIME`).

    Raises `roomline.wire.InvalidName` for a user id, and `ValueError` for a lifetime, grant or
    generation, that no gateway would accept.
    """
    for pattern in grants.read + grants.write:
        _check_pattern(pattern)
    return keys.sign(
        _registered(CONNECTION_AUDIENCE, user_id, now, lifetime, generation)
        | {"name": name or user_id, "read": grants.read, "write": grants.write}
    )


def verify_connection(keys: Keyring, token: str, now: float) -> ConnectionClaims:
    """The claims of a connection token; raises `TokenError`."""
    claims = keys.open(token, CONNECTION_AUDIENCE, now)
    return ConnectionClaims(
        user_id=_user_id(claims),
        name=well_formed(_claim(claims, "name", str, claims["sub"]))[:200],
        expires=_seconds(claims, "exp"),
        grants=Grants(_patterns(claims, "read"), _patterns(claims, "write")),
        generation=_generation(claims),
    )


def sign_room(
    keys: Keyring,
    user_id: str,
    room: str,
    *,
    now: float,
    lifetime: int,
    write: bool = False,
    generation: int = 0,
) -> str:
    """A room token for one user and one room. Raises like `sign_connection`."""
    return keys.sign(
        _registered(ROOM_AUDIENCE, user_id, now, lifetime, generation)
        | {"room": check_room(room), "write": write}
    )


def verify_room(keys: Keyring, token: str, now: float) -> RoomClaims:
    """The claims of a room token; raises `TokenError`."""
    claims = keys.open(token, ROOM_AUDIENCE, now)
    return RoomClaims(
        user_id=_user_id(claims),
        room=_room(claims),
        expires=_seconds(claims, "exp"),
        write=_claim(claims, "write", bool, False),
        generation=_generation(claims),
    )


def _registered(
    audience: str, user_id: str, now: float, lifetime: int, generation: int
) -> dict[str, Any]:
    if not 1 <= lifetime <= MAX_LIFETIME:
        raise ValueError(f"lifetime is {lifetime} seconds, accepted is 1 to {MAX_LIFETIME}")
    if not is_generation(generation):
        raise ValueError(f"generation is {shorten(generation)}, which is no whole number from 0 on")
    return {
        "sub": check_user_id(user_id),
        "aud": audience,
        "iat": int(now),
        "exp": int(now) + lifetime,
        "gen": generation,
    }


def _granted(patterns: tuple[str, ...], room: str) -> bool:
    return any(
        room.startswith(pattern[:-2]) if pattern.endswith(".**") else room == pattern
        for pattern in patterns
    )


def _check_pattern(pattern: str) -> None:
    try:
        check_room(pattern.removesuffix(".**"))
    except InvalidName:
        raise ValueError(
            f"grant {shorten(pattern)} is not accepted: a room name, or a prefix with .** behind it"
        ) from None


def _patterns(claims: Mapping[str, Any], name: str) -> tuple[str, ...]:
    patterns = _claim(claims, name, list, [])
    for pattern in patterns:
        if not isinstance(pattern, str):
            raise TokenError(f"claim {name} must be a list of text, it has {shorten(pattern)}")
        try:
            _check_pattern(pattern)
        except ValueError as error:
            raise TokenError(str(error)) from None
    return tuple(patterns)


def _user_id(claims: Mapping[str, Any]) -> str:
    try:
        return check_user_id(claims["sub"])
    except InvalidName as error:
        raise TokenError(str(error)) from None


def _room(claims: Mapping[str, Any]) -> str:
    try:
        return check_room(_claim(claims, "room", str, ""))
    except InvalidName as error:
        raise TokenError(str(error)) from None


def _seconds(claims: Mapping[str, Any], name: str) -> float:
    value = claims[name]
    # Not-a-number compares false with everything: it must not pass for a time.
    if isinstance(value, bool) or not (isinstance(value, int | float) and 0 <= value < 2**53):
        raise TokenError(f"claim {name} must be a number of seconds, it is {shorten(value)}")
    return value


def _generation(claims: Mapping[str, Any]) -> int:
    # A token without one was signed before there were revocations: any of them is newer.
    generation = claims.get("gen", 0)
    if not is_generation(generation):
        raise TokenError(f"claim gen must be a generation, it is {shorten(generation)}")
    return int(generation)


def _claim(claims: Mapping[str, Any], name: str, kind: type, default: Any) -> Any:
    value = claims.get(name, default)
    if not isinstance(value, kind):
        raise TokenError(f"claim {name} must be {kind.__name__}, it is {shorten(value)}")
    return value
