"""The demo's data directory: its database, its log, and secrets made at the first start."""

import contextlib
import json
import os
import secrets
from pathlib import Path
from typing import Final, NamedTuple

DATA_VARIABLE: Final = "DEMO_DATA"
BROKER_VARIABLE: Final = "DEMO_BROKER"
DEFAULT_DATA: Final = Path(__file__).resolve().parent.parent / "demo-data"


class Secrets(NamedTuple):
    """What nobody but this machine's user may know. `password` is that of the user ``demo``."""

    django: str
    gateway: str
    password: str


def directory() -> Path:
    """Where the data is: what the environment says, else ``djangoapp/demo-data``."""
    return Path(os.environ.get(DATA_VARIABLE) or DEFAULT_DATA).absolute()


def broker(folder: Path) -> str:
    """The broker's address: what the environment says, else the embedded log in `folder`.

    From the environment because it may have a password in it, and command lines are public.
    """
    return os.environ.get(BROKER_VARIABLE) or f"embedded:{folder / 'rooms.sqlite3'}"


def secrets_in(folder: Path) -> Secrets:
    """The secrets kept in `folder`; made, with the folder, if they are not there yet."""
    path = folder / "secrets.json"
    try:
        return Secrets(**json.loads(path.read_text()))
    except FileNotFoundError:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    made = Secrets(secrets.token_hex(32), secrets.token_hex(32), secrets.token_urlsafe(9))
    # Written beside and linked into place: of two first starts at once, one wins and both agree.
    draft = folder / f"secrets-{secrets.token_hex(4)}.tmp"
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(made._asdict(), file)
    with contextlib.suppress(FileExistsError):
        path.hardlink_to(draft)
    draft.unlink()
    return Secrets(**json.loads(path.read_text()))
