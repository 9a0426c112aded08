"""Django settings of the demo on one machine: with DEBUG on, and loopback addresses only."""

from demo import data
from demo.common import *  # noqa: F403 - as Django's settings build on each other
from demo.common import ROOMLINE

DATA = data.directory()
_secrets = data.secrets_in(DATA)

SECRET_KEY = _secrets.django
DEMO_PASSWORD = _secrets.password
DEBUG = True
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "[::1]"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": DATA / "django.sqlite3"}}

# runroomline replaces the broker (if --broker is given) and the endpoint (the port that was free).
ROOMLINE |= {
    "BROKER": data.broker(DATA),
    "KEYS": {"demo": _secrets.gateway},
    "ENDPOINTS": ["http://127.0.0.1:8001/roomline"],
    "GATEWAY": {"NAMESPACES": "chat:read=token,write=token,history=100"},
}
