"""Nodes that serve each other's clients: a request of an HTTP transport may land on any of them and
finds its session. Websockets are served where they land, and never come here.

::

    announcement   what a node says of itself, by the broker's signals
    membership     which nodes are there: those that have answered to a direct probe
    ring           which of them may have a session, and which one opens it
    links          connections from node to node
    forwarding     takes requests from Tornado's router to the node that has their session
    cluster        all of it together
"""

from roomline.cluster.cluster import Cluster
from roomline.cluster.settings import ClusterSettings

__all__ = ["Cluster", "ClusterSettings"]
