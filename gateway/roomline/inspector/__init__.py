"""The inspector: a page on the internal port that shows a node while it works.

Nothing is computed while nobody looks. What it shows of rooms it is told as one more subscriber.
"""

from roomline.inspector.routes import routes
from roomline.inspector.subject import OtherNode, Subject

__all__ = ["OtherNode", "Subject", "routes"]
