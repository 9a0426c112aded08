"""Which nodes may have a session, and which one opens it: rendezvous hashing, as values.

Every node ranks all nodes for a session, by a hash of both names, and so without a word between
them they agree on the first. A node that comes or goes changes nothing for sessions that rank
another one first.
"""

import math
from collections.abc import Iterable
from hashlib import blake2b
from typing import NamedTuple


class Contender(NamedTuple):
    """One node as the ranking sees it."""

    id: str
    since: int
    """When it began, in milliseconds since the epoch."""
    draining: bool = False
    """Whether it opens no sessions any more."""


class Candidate(NamedTuple):
    """A node to ask for a session."""

    id: str
    opens: bool
    """Whether it may open the session if it does not have it."""


def candidates(session_id: str, contenders: Iterable[Contender]) -> list[Candidate]:
    """The nodes to ask, in this order, until one has the session; the last one opens it.

    A session was opened by the node that ranked first then. Nodes that rank before it now have
    come since, or they drain. So who may have it is the first, and after it each node that is
    older than all before it that do not drain. Most often that is one node and one question.
    """
    ranked = sorted(contenders, key=lambda node: _weight(node.id, session_id), reverse=True)
    if not ranked:
        return []
    opener = next((node for node in ranked if not node.draining), ranked[0])
    asked: list[Contender] = []
    oldest = math.inf
    for node in ranked:
        if node.since < oldest:
            asked.append(node)
            if not node.draining:
                oldest = node.since
    if asked[-1] is opener:
        asked.pop()
    return [*(Candidate(node.id, False) for node in asked), Candidate(opener.id, True)]


def _weight(node_id: str, session_id: str) -> bytes:
    return blake2b(f"{node_id} {session_id}".encode(), digest_size=8).digest()
