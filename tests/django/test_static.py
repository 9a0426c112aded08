"""The scripts that are shipped equal what the JavaScript sources and the npm package give."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STATIC = ROOT / "djangoapp/django_roomline/static/roomline"
SOCKJS = ROOT / "js-client/node_modules/sockjs-client"


def test_the_client_is_the_built_one() -> None:
    shipped = (STATIC / "roomline.umd.js").read_bytes()
    assert shipped == (ROOT / "js-client/dist/roomline.umd.js").read_bytes(), (
        "copy js-client/dist/roomline.umd.js to djangoapp/django_roomline/static/roomline/"
    )


@pytest.mark.parametrize(
    ("shipped", "original"),
    [
        ("sockjs.min.js", "dist/sockjs.min.js"),
        ("sockjs.min.js.map", "dist/sockjs.min.js.map"),
        ("sockjs-LICENSE.txt", "LICENSE"),
    ],
)
def test_sockjs_is_the_npm_package_s(shipped: str, original: str) -> None:
    if not SOCKJS.exists():
        pytest.skip("js-client/node_modules is not installed")
    assert (STATIC / "vendor" / shipped).read_bytes() == (SOCKJS / original).read_bytes()


def test_the_version_is_stated() -> None:
    first_line = (STATIC / "vendor/sockjs.min.js").read_text().partition("\n")[0]
    assert "v1.6.1" in first_line
    assert "sockjs-client 1.6.1" in (STATIC / "vendor/README.txt").read_text()
