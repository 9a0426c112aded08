"""Tokens that the tests' gateways accept."""

import time

from roomline.tokens import Grants, Keyring, sign_connection, sign_room

SECRETS = {
    "2026-b": "the-current-secret-of-the-tests-long-enough",
    "2026-a": "the-secret-before-it-which-is-long-enough",
}
KEYS = Keyring(SECRETS)
API_TOKEN = "an-api-token-of-the-tests-0123456789"


def connection_token(
    user: str = "ann",
    *,
    name: str = "",
    read: tuple[str, ...] = (),
    write: tuple[str, ...] = (),
    lifetime: int = 600,
    age: float = 0.0,
    keys: Keyring = KEYS,
) -> str:
    """A connection token, issued `age` seconds ago."""
    return sign_connection(
        keys,
        user,
        name=name,
        now=time.time() - age,
        lifetime=lifetime,
        grants=Grants(read, write),
    )


def room_token(
    user: str, room: str, *, write: bool = False, lifetime: int = 600, age: float = 0.0
) -> str:
    """A room token, issued `age` seconds ago."""
    return sign_room(KEYS, user, room, now=time.time() - age, lifetime=lifetime, write=write)
