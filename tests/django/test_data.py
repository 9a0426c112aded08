"""The demo's secrets: made once, kept, and nobody else's to read."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from demo import data


def test_secrets_are_made_once_and_kept(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    made = data.secrets_in(folder)
    assert data.secrets_in(folder) == made
    assert data.secrets_in(tmp_path / "other") != made
    assert len(made.gateway) >= 32
    assert len(made.password) >= 12


def test_only_their_owner_reads_them(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    data.secrets_in(folder)
    assert stat.S_IMODE((folder / "secrets.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [path.name for path in folder.iterdir()] == ["secrets.json"]


def test_two_first_starts_at_once_agree(tmp_path: Path) -> None:
    for attempt in range(20):
        with ThreadPoolExecutor(4) as pool:
            folders = [tmp_path / str(attempt)] * 4
            assert len(set(pool.map(data.secrets_in, folders))) == 1
