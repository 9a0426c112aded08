"""For ``gunicorn --preload``: an application that has published before the workers are forked."""

from django.core.wsgi import get_wsgi_application

application = get_wsgi_application()

from django_roomline import publish  # noqa: E402 - needs Django set up

publish("chat.0", "before the fork", on_commit=False)
