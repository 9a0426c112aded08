"""The pages are about Django, too: it is set up as for its own tests."""

import tests.django.conftest  # noqa: F401 - importing it sets Django up
