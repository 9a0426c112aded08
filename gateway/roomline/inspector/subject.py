"""What is inspected, by whom, and how much of it is shown."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from roomline.core.policy import Policy
from roomline.node import Node


class OtherNode(NamedTuple):
    """Another node of the cluster, as this one knows it. `since` is in milliseconds since the
    epoch."""

    name: str
    state: str
    since: int


class Subject(NamedTuple):
    """A node and who may look at it: `tokens` by their holders' names, none: nobody. Publications
    are shown with their contents if `data` is true. `broker` says what sort of broker it is;
    `others` gives the nodes that are there besides."""

    node: Node
    policy: Policy
    tokens: Mapping[str, str]
    data: bool
    broker: str
    others: Callable[[], Sequence[OtherNode]]
