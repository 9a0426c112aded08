"""The tokens that let somebody do something on the internal port, by whom they belong to."""

import hmac
from collections.abc import Mapping


class Bearers:
    """Who holds which token; false if nobody holds any."""

    def __init__(self, tokens: Mapping[str, str]) -> None:
        """`tokens` by the name of the holder."""
        self._tokens = {name: token.encode() for name, token in tokens.items()}

    def __bool__(self) -> bool:
        return bool(self._tokens)

    def holder(self, authorization: str) -> str | None:
        """Who sends this header ``Authorization``; None: nobody whom we know."""
        scheme, _, token = authorization.partition(" ")
        given = token.strip().encode()
        # All are compared, each in constant time, so that timing tells nothing about any.
        matches = [
            name for name, known in self._tokens.items() if hmac.compare_digest(given, known)
        ]
        return matches[0] if matches and scheme.lower() == "bearer" else None
