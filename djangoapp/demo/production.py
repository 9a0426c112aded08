"""Django settings of the demo in containers: behind a proxy, with its secrets from the environment.

Every variable is needed; an error names the one that is missing.
"""

import os

from demo import data
from demo.common import *  # noqa: F403 - as Django's settings build on each other
from demo.common import ROOMLINE

DATA = data.directory()

SECRET_KEY = os.environ["DJANGO_SECRET_KEY"]
DEMO_PASSWORD = os.environ["DEMO_PASSWORD"]
DEBUG = False
ALLOWED_HOSTS = os.environ["DEMO_HOSTS"].split(",")
# The proxy sets it, and takes it from nobody else.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = os.environ["DEMO_HTTPS"] == "true"
STATIC_URL = "/static/"
STATIC_ROOT = os.environ["DEMO_STATIC"]
# One file for all of the demo's containers on this machine; writers wait for each other.
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": DATA / "django.sqlite3",
        "OPTIONS": {
            "timeout": 20,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL",
        },
    }
}

_kid, _, _secret = os.environ["ROOMLINE_KEYS"].partition(":")
ROOMLINE |= {
    "BROKER": os.environ["DJANGO_BROKER"],
    "KEYS": {_kid: _secret},
    "ENDPOINTS": ["/live"],
    "OUTBOX": True,
    "GATEWAY_USERS": ["gateway"],
}
