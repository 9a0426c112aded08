"""The translations: complete, compiled, and spoken."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from babel.messages.catalog import Message
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.test import Client, TestCase, override_settings
from django.utils import translation
from django_roomline.models import Audience, Room
from django_roomline.testing import recording

from scripts import translations

CATALOGUES = translations.catalogues()


def texts(catalog: Any) -> set[Any]:
    return {(message.id, message.context) for message in catalog if message.id}


def test_there_is_one() -> None:
    assert [path.parts[-3] for path in CATALOGUES] == ["de"]


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.parts[-3])
def test_it_has_every_text_of_the_sources(path: Path) -> None:
    """If not: ``python scripts/translations.py update``, translate, and ``compile``."""
    catalog = translations.read(path)
    assert texts(catalog) == texts(translations.template())
    assert translations.text_of(translations.updated(catalog)) == path.read_bytes()
    missing = [message.id for message in catalog if message.id and not _is_translated(message)]
    assert missing == []
    wrong = [(message.id, str(e)) for message in catalog for e in message.check(catalog)]
    assert wrong == []


def _is_translated(message: Message) -> bool:
    strings = message.string if isinstance(message.string, tuple) else (message.string,)
    return all(strings) and not message.fuzzy


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.parts[-3])
def test_it_is_compiled_as_it_is(path: Path) -> None:
    """If not: ``python scripts/translations.py compile``."""
    assert path.with_suffix(".mo").read_bytes() == translations.compiled(translations.read(path))


def test_the_script_is_one() -> None:
    script = Path(translations.__file__)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "update | compile" in done.stderr


def test_texts_of_code_and_of_templates_are_found() -> None:
    found = {text for text, _ in texts(translations.template())}
    assert {"who may read", "A login failed", "Preview"} <= found
    assert ("The notice was sent.", "The notice was sent to %(count)d rooms.") in found


def test_models_speak_the_readers_language() -> None:
    with translation.override("de"):
        assert str(Room._meta.verbose_name_plural) == "Räume"
        assert str(Audience.AUTHENTICATED.label) == "angemeldete Benutzer"


def test_events_speak_the_projects_language(users: dict[str, Any]) -> None:
    message = json.dumps([{"changed": {"fields": ["Password"]}}])
    with (
        recording() as published,
        override_settings(LANGUAGE_CODE="de"),
        translation.override("en"),
        TestCase.captureOnCommitCallbacks(execute=True),
    ):
        LogEntry.objects.create(
            user=users["staff"],
            content_type=ContentType.objects.get_for_model(Room),
            object_id="1",
            object_repr="A",
            action_flag=CHANGE,
            change_message=message,
        )
    (data,) = published.to("admin.log")
    assert data["text"] == "sue hat Raum „A“ geändert: Passwort geändert."


def test_the_admin_speaks_the_readers_language(client: Client, users: dict[str, Any]) -> None:
    user = users["staff"]
    user.user_permissions.set(Permission.objects.filter(codename="send_notice"))
    client.force_login(user)
    form = {"target": "rooms", "names": "team.b", "text": "Hallo", "nonce": "0" * 32}
    with override_settings(LANGUAGE_CODE="de"):
        composing = client.get("/admin/django_roomline/notice/add/").content.decode()
        previewed = client.post("/admin/django_roomline/notice/add/", form).content.decode()
    assert "Mitteilung senden" in composing
    assert "Vorschau" in composing
    assert "Diese Mitteilung senden?" in previewed
    assert "Dieser Raum steht nicht in der Datenbank" in previewed
