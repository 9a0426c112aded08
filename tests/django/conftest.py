"""Django for the tests in this folder: set up once, with a database in memory."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import django
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "djangoapp"))
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.django.settings"
django.setup()
# Not for the programs that tests start: they have settings of their own.
del os.environ["DJANGO_SETTINGS_MODULE"]

from django.conf import settings as django_settings  # noqa: E402
from django.contrib.auth.models import AnonymousUser, User  # noqa: E402
from django.db import transaction  # noqa: E402
from django.test import Client, override_settings  # noqa: E402
from django.test.runner import DiscoverRunner  # noqa: E402
from django_roomline.publishing import disconnect  # noqa: E402
from roomline.sqlitelog import SqliteLog  # noqa: E402
from roomline.wire import Envelope  # noqa: E402


@pytest.fixture(scope="session", autouse=True)
def database() -> Iterator[None]:
    """The test environment and an empty, migrated database."""
    runner = DiscoverRunner(verbosity=0, interactive=False)
    runner.setup_test_environment()
    configuration = runner.setup_databases()
    yield
    runner.teardown_databases(configuration)
    runner.teardown_test_environment()


@pytest.fixture
def db() -> Iterator[None]:
    """What the test writes to the database is rolled back after it."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


@pytest.fixture
def client() -> Client:
    """A browser without cookies yet."""
    return Client()


@pytest.fixture
def roomline() -> Iterator[Callable[..., None]]:
    """Changes keys of ``ROOMLINE`` until the end of the test."""
    changes: list[Any] = []

    def change(**values: Any) -> None:
        override = override_settings(ROOMLINE={**django_settings.ROOMLINE, **values})
        override.enable()
        changes.append(override)

    yield change
    while changes:
        changes.pop().disable()


@pytest.fixture
def users(db: None) -> dict[str, Any]:
    """One user of each class."""
    return {
        "anonymous": AnonymousUser(),
        "member": User.objects.create_user("ann", password="ann's", first_name="Ann"),
        "staff": User.objects.create_user("sue", password="sue's", is_staff=True),
        "inactive": User.objects.create_user("ian", password="ian's", is_active=False),
    }


@pytest.fixture
def entries(
    tmp_path: Path, roomline: Callable[..., None]
) -> Iterator[Callable[[], list[Envelope]]]:
    """The log that publish() writes to: what is in it now."""
    path = tmp_path / "rooms.sqlite3"
    roomline(BROKER=f"embedded:{path}")

    def read() -> list[Envelope]:
        log = SqliteLog(path)
        try:
            return [envelope for _, envelope in log.read(0, 100_000)]
        finally:
            log.close()

    yield read
    disconnect()
