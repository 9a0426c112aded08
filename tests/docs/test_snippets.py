"""Every literal block of every page is covered by a test; the small ones are tested here."""

import importlib
import json
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from roomline.config import load
from roomline.core.messages import Push, Reconnect, UnsubscribedPush

from tests.docs.pages import ROOT, Snippet, snippet, snippets

TESTS = (
    "tests.docs.test_archive",
    "tests.docs.test_checks",
    "tests.docs.test_commands",
    "tests.docs.test_dialogues",
    "tests.docs.test_django_publishing",
    "tests.docs.test_doctor",
    "tests.docs.test_event_stream",
    "tests.docs.test_events",
    "tests.docs.test_held_responses",
    "tests.docs.test_in_browser",
    "tests.docs.test_inspector",
    "tests.docs.test_operations",
    "tests.docs.test_own_project",
    "tests.docs.test_pages",
    "tests.docs.test_publishing",
    "tests.django.test_rights_page",
    "tests.docs.test_requests",
    "tests.docs.test_snippets",
    "tests.docs.test_sockjs",
    "tests.docs.test_testing_your_app",
    "tests.test_packaging",
    "tests.transport.test_autobahn",
)
"""Modules that say in `COVERS` which named blocks they test."""

COVERS = {"bodies"}

WITH_TESTS_OF_THEIR_OWN = {
    "docs/settings.rst": "tests/test_config.py",
    "docs/metrics.rst": "tests/http/test_metrics.py",
    "docs/http-api.rst": "tests/http/test_publications.py",
    "docs/transports.rst": "tests/docs/test_transports.py",
    "docs/scaling.rst": "tests/end_to_end/test_processes.py",
    "docs/tutorial.rst": "tests/docs/test_tutorial.py",
    "docs/howto/celery.rst": "tests/docs/test_howto_celery.py",
    "docs/howto/deployment.rst": "tests/docs/test_howto_deployment.py",
    "docs/howto/drf.rst": "tests/docs/test_howto_drf.py",
    "docs/howto/permissions.rst": "tests/docs/test_howto_permissions.py",
    "docs/howto/signals.rst": "tests/docs/test_howto_signals.py",
    "docs/operations/proxies.rst": "tests/end_to_end/test_proxies.py",
}
"""Pages that are tested beside what they describe."""

PUSHES: dict[str, type[Push]] = {"unsubscribed": UnsubscribedPush, "reconnect": Reconnect}


@pytest.mark.parametrize("found", snippets(), ids=str)
def test_every_snippet_is_covered(found: Snippet):
    if found.page in WITH_TESTS_OF_THEIR_OWN:
        assert found.page in (ROOT / WITH_TESTS_OF_THEIR_OWN[found.page]).read_text()
    elif found.language != "json":
        covered = set().union(*(importlib.import_module(name).COVERS for name in TESTS))
        assert found.name in covered, f"no test covers this block:\n{found.text}"


@pytest.mark.parametrize("found", [s for s in snippets() if s.language == "json"], ids=str)
def test_pushes_have_exactly_their_fields(found: Snippet):
    shown: dict[str, Any] = json.loads(found.text)
    push = msgspec.convert(shown, PUSHES[shown["type"]])
    assert msgspec.to_builtins(push) == shown


def test_bodies():
    exec(compile(snippet("docs/broker.rst", "bodies").text, "docs/broker.rst", "exec"), {})


def test_the_settings_file_is_accepted(tmp_path: Path):
    """As it stands, but for the file with secrets, which is not on this machine."""
    text = next(found.text for found in snippets() if found.page == "docs/settings.rst")
    keys = tmp_path / "keys"
    keys.write_text(f"1:{'x' * 32}\n")
    named = tomllib.loads(text)["keys_file"]
    path = tmp_path / "roomline.toml"
    path.write_text(text.replace(named, str(keys)))
    assert load({"config": str(path)}, {}).keys is not None
