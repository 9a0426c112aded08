"""What the JavaScript client's package must not contain. Its own tests are run by make test-js."""

from pathlib import Path

JS_CLIENT = Path(__file__).parents[2] / "js-client"


def test_the_lock_file_names_no_registry() -> None:
    lock = (JS_CLIENT / "package-lock.json").read_text()
    assert '"resolved"' not in lock
    assert "https://registry" not in lock
