"""docs/protocol.rst says what the code does: its tables are compared with the code's."""

import inspect

import msgspec
from roomline.core import messages
from roomline.core.codec import publication_text
from roomline.core.codes import tables
from roomline.core.messages import COMMANDS
from roomline.wire import Envelope, Sender

from tests.docs.pages import table

PAGE = "docs/protocol.rst"
YES_NO = {"yes": True, "no": False}


def test_errors():
    documented = {
        code: {"temporary": YES_NO[temporary], "meaning": meaning}
        for code, temporary, meaning in table(PAGE, "errors")
    }
    assert documented == tables().errors


def test_disconnects():
    documented = {
        code: {"reason": reason, "reconnect": YES_NO[reconnect], "meaning": meaning}
        for code, reason, reconnect, meaning in table(PAGE, "disconnects")
    }
    assert documented == tables().disconnects


def test_unsubscribed():
    assert dict(table(PAGE, "unsubscribed")) == tables().unsubscribed


def test_unrecoverable():
    documented = dict(table(PAGE, "unrecoverable"))
    assert documented == tables().unrecoverable


def test_commands():
    documented = {command: set(_listed(fields)) for command, fields, _ in table(PAGE, "commands")}
    defined = {}
    for name, command in COMMANDS.items():
        fields = [field for field in msgspec.structs.fields(command) if field.name != "id"]
        defined[name] = {field.name + ("" if field.required else "?") for field in fields}
    assert documented == defined


def test_replies():
    tags = {
        message.__struct_config__.tag
        for _, message in inspect.getmembers(messages, inspect.isclass)
        if issubclass(message, messages.Message) and message is not messages.Message
    }
    replies = {row[2].partition(",")[0] for row in table(PAGE, "commands")[:-1]}
    pushes = {push for push, _ in table(PAGE, "pushes")}
    assert replies | pushes | {"error"} == tags | {"publication"}


def test_fields_of_a_publication():
    envelope = Envelope("chat.lobby", b"1", time=1, sender=Sender("7", "Ann"), key="k")
    shown = set()
    for trusted in (True, False):
        shown |= set(
            msgspec.json.decode(publication_text(envelope, "1", "p", None, trusted=trusted))
        )
    assert {field for field, _ in table(PAGE, "publication")} == shown - {"type"}


def _listed(fields: str) -> list[str]:
    return fields.split(", ") if fields else []
