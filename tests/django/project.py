"""Settings of a Django project whose programs tests start: its database and broker are given."""

import json
import os

SECRET_KEY = "only for tests"
USE_TZ = True
ALLOWED_HOSTS = ["127.0.0.1"]
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django_roomline",
    "tests.django.handling",
]
ROOT_URLCONF = "tests.django.pages"
DATABASES = {"default": json.loads(os.environ["PROJECT_DATABASE"])}
ROOMLINE = {
    "BROKER": os.environ["PROJECT_BROKER"],
    "KEYS": {"test": "t" * 32},
    "ENDPOINTS": ["/roomline"],
    "ARCHIVE": {},
}
