"""Where on the internal port the inspector is."""

from roomline.http.application import Route
from roomline.inspector.handlers import Lookers, Notice, Remove, State, Stream
from roomline.inspector.page import FILES, File
from roomline.inspector.subject import Subject


def routes(subject: Subject) -> list[Route]:
    """The page, which holds nothing of the node, and what it asks with a token."""
    guarded = {"subject": subject, "lookers": Lookers()}
    on = bool(subject.tokens)
    return [
        *((path, File, {"file": name, "on": on}) for path, name in FILES.items()),
        (r"/inspect/state", State, guarded),
        (r"/inspect/stream", Stream, guarded),
        (r"/inspect/sessions/([^/]*)/disconnect", Remove, guarded),
        (r"/inspect/rooms/([^/]*)/notice", Notice, guarded),
    ]
