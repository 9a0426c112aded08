"""What a node's part in a cluster can be told, as one frozen value."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSettings:
    """Settings of a node's part in a cluster. They are taken as they are."""

    name: str
    """The name of this node."""
    key: bytes
    """What all nodes of the cluster know and nobody else."""
    since: int
    """When the node began, in milliseconds since the epoch; the same for those that began
    together."""
    directory: str = ""
    """Where nodes of this machine have their sockets; empty: there are no others."""
    host: str = ""
    port: int = 0
    """Where nodes of other machines find this one; an empty host: there are no others."""
    expected: int = 1
    """How many nodes there are of which it is known from the beginning."""
    body_bytes: int = 524_288
    """The longest body that is handed on whole."""
    silence_seconds: float = 50.0
    """For how long the machine of a client may acknowledge nothing of a response that comes from
    another node; the client is gone then."""
