"""Users under other names, for the tests of revocations. With migrations, because User has them."""

from django.contrib.auth.models import User


class Person(User):
    """The same users."""

    class Meta:
        proxy = True


class Courier(User):
    """Users with a table of their own."""
