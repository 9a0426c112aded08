"""A project of somebody who uses Roomline, written into a folder: real files to run and edit."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MANAGE = """
import os, sys
from django.core.management import execute_from_command_line
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "site_of_mine.settings")
execute_from_command_line(sys.argv)
"""

SETTINGS = """
from pathlib import Path
BASE = Path(__file__).parent.parent
SECRET_KEY = "only for tests"
DEBUG = True
ALLOWED_HOSTS = ["127.0.0.1"]
USE_TZ = True
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django_roomline",
    "talks",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
ROOT_URLCONF = "site_of_mine.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE / "db.sqlite3",
    "OPTIONS": {"timeout": 30, "transaction_mode": "IMMEDIATE"}}}
ROOMLINE = {
    "BROKER": f"embedded:{BASE}/rooms.sqlite3",
    "KEYS": {"dev": "k" * 32},
    "ENDPOINTS": ["/roomline"],
    "ARCHIVE": {},
    "GATEWAY": {"NAMESPACES": "talk:read=public,write=authenticated,moderate=talk.check"},
}
"""

URLS = """
import json
from django.http import JsonResponse
from django.urls import include, path
from django_roomline import hold, position_of, stream
from django_roomline.models import ArchivedPublication

def archived(request):
    rows = ArchivedPublication.objects.order_by("pk")
    return JsonResponse([json.loads(row.publication)["data"] for row in rows], safe=False)

def wait(request):
    return hold(request, "talk.all", timeout=100, since=request.GET.get("since"))

urlpatterns = [
    path("wait", wait),
    path("position", lambda request: JsonResponse({"position": position_of(request)})),
    path("lines", lambda request: stream(request, "talk.all", format="json-lines")),
    path("archived", archived),
    path("roomline/", include("django_roomline.urls")),
]
"""

MODELS = """
from django.db import models

class Said(models.Model):
    text = models.TextField()
    request = models.CharField(max_length=100, unique=True)"""

HANDLERS = """
from django_roomline import publish
from django_roomline.requests import RequestRefused, handles
from talks.models import Said

@handles("talk.check", timeout=5)
def check(request):
    text = request.data["data"]["text"]
    if "spam" in text:
        raise RequestRefused("No advertising, please.")
    return {"data": {"text": text.replace("damn", "d***")}}

@handles("talk.say")
def say(request):
    Said.objects.create(text=request.data, request=request.id)
    publish("talk.all", {"text": f"{request.user.username} says {request.data}"})
    return Said.objects.count()
"""


def write(folder: Path) -> Path:
    """Write it; returns its ``manage.py``. It has no migrations of its own, and no database yet."""
    files = {
        "manage.py": MANAGE,
        "site_of_mine/__init__.py": "",
        "site_of_mine/settings.py": SETTINGS,
        "site_of_mine/urls.py": URLS,
        "talks/__init__.py": "",
        "talks/migrations/__init__.py": "",
        "talks/models.py": MODELS,
        "talks/handlers.py": HANDLERS,
    }
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.lstrip())
    return folder / "manage.py"


@contextmanager
def saved(path: Path, text: str) -> Iterator[None]:
    """In the block, a file is saved again and again: programs run before Django's reloader has
    looked at the files at first, and what was changed until then goes unseen."""
    enough = threading.Event()

    def insist() -> None:
        path.write_text(text)
        while not enough.wait(1.2):
            os.utime(path)

    thread = threading.Thread(target=insist)
    thread.start()
    try:
        yield
    finally:
        enough.set()
        thread.join()
