"""The archive's JSON view: pages that join, for those who may read the room."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django_roomline.models import ArchivedPublication, ArchiveProgress, Generation, Room
from roomline.wire import fingerprint_of, position_text

from tests.django.test_archiver import Log, archive, stored

COUNT = 25


@pytest.fixture
def archived(db: None, tmp_path: Path, roomline: Callable[..., None]) -> Log:
    """Publications to two rooms, in turn, archived."""
    Room.objects.create(name="chat.a", title="A", readers="authenticated")
    Room.objects.create(name="chat.b", title="B", readers="staff")
    log = Log(tmp_path / "rooms.sqlite3")
    for number in range(COUNT):
        log.numbers(number, room="chat.a")
        log.numbers(number, room="chat.b")
    archive(log)
    return log


@pytest.fixture
def member(client: Client, users: dict[str, Any], archived: Log) -> Client:
    client.force_login(users["member"])
    return client


def get(client: Client, room: str, **query: str) -> Any:
    answer = client.get(f"/roomline/archive/{room}", query)
    assert answer.status_code == 200, answer.content
    assert answer["Content-Type"] == "application/json"
    assert "no-store" in answer["Cache-Control"]
    return answer.json()


def test_pages_join_without_gap_or_repeat(member: Client) -> None:
    pages = []
    page = get(member, "chat.a", limit="7")
    while page["publications"]:
        pages.insert(0, page["publications"])
        assert page["complete"]
        assert page["more"] == (len(pages) < 4)
        page = get(member, "chat.a", limit="7", before=page["publications"][0]["position"])
    assert [len(each) for each in pages] == [4, 7, 7, 7]
    assert sum(pages, []) == stored("chat.a")  # noqa: RUF017 - four lists


def test_up_to_a_position(member: Client) -> None:
    everything = stored("chat.a")
    page = get(member, "chat.a", until=everything[10]["position"], limit="3")
    assert page["publications"] == everything[8:11]
    assert page["more"]


def test_what_is_not_archived_yet_is_said(member: Client, archived: Log) -> None:
    last = stored("chat.a")[-1]["position"]
    archived.numbers(COUNT, room="chat.a")
    later = f"0.{2 * COUNT + 1}.0123456789ab"
    assert get(member, "chat.a", before=later) == {
        "room": "chat.a",
        "publications": [],
        "more": False,
        "complete": False,
    }
    assert get(member, "chat.a", until=last)["complete"]
    assert not get(member, "chat.a", before="0.5.0123456789ab")["complete"], "another log"
    assert not get(member, "chat.a", before=f"0.{2**63}.0123456789ab")["complete"]


def test_a_position_may_be_another_room_s(member: Client) -> None:
    """As that of a subscription to a room that has nothing in the log."""
    position = stored("chat.b")[3]["position"]
    for named in ({"before": position}, {"until": position}):
        page = get(member, "chat.a", **named)
        assert page["complete"]
        assert [each["data"] for each in page["publications"]] == [0, 1, 2, 3]


def test_a_position_may_be_one_that_is_not_kept(member: Client, archived: Log) -> None:
    """Deleted since, or a repeat: the archive has passed it all the same."""
    everything = stored("chat.a")
    deleted = everything[10]["position"]
    ArchivedPublication.objects.filter(offset=int(deleted.split(".")[1])).delete()
    for named in ({"before": deleted}, {"until": deleted}):
        page = get(member, "chat.a", limit="3", **named)
        assert page["complete"]
        assert page["publications"] == everything[7:10]
    ArchivedPublication.objects.filter(id__lte=25).delete()
    page = get(member, "chat.a", before=deleted)
    assert (page["publications"], page["more"], page["complete"]) == ([], False, True)
    archived.numbers(COUNT - 1, room="chat.a")
    archived.numbers(COUNT, room="chat.a")
    archive(archived)
    [(repeat, envelope)] = [entry for entry in archived.read() if entry[0] == 2 * COUNT + 1]
    page = get(member, "chat.a", until=position_text(0, repeat, fingerprint_of(envelope)))
    assert page["complete"]
    assert page["publications"][-1] == everything[-1]


def test_before_the_log_began(member: Client) -> None:
    """What a client has of a log that is empty: nothing of this log is before it."""
    page = get(member, "chat.a", until="0.-1.000000000000")
    assert (page["publications"], page["complete"]) == ([], True)
    ArchiveProgress.objects.update(epoch=2, offset=-1)
    assert len(get(member, "chat.a", until="0.-1.000000000000")["publications"]) == COUNT
    ArchiveProgress.objects.all().delete()
    assert get(member, "chat.a", until="0.-1.000000000000")["complete"]


def test_a_room_that_was_never_used(member: Client) -> None:
    Room.objects.create(name="chat.new", title="New", readers="everyone")
    page = get(member, "chat.new")
    assert (page["publications"], page["more"], page["complete"]) == ([], False, True)


@pytest.mark.parametrize(
    ("room", "query", "status", "code"),
    [
        ("chat.b", {}, 403, "forbidden"),
        ("chat.nowhere", {}, 403, "forbidden"),
        ("user.999", {}, 403, "forbidden"),
        ("chat..a", {}, 400, "room_invalid"),
        ("chat.a", {"limit": "0"}, 400, "bad_request"),
        ("chat.a", {"limit": "101"}, 400, "bad_request"),
        ("chat.a", {"limit": "\u0663"}, 400, "bad_request"),
        ("chat.a", {"limit": ""}, 400, "bad_request"),
        ("chat.a", {"before": "yesterday"}, 400, "bad_request"),
        ("chat.a", {"until": ""}, 400, "bad_request"),
        ("chat.a", {"before": "0.1.0123456789ab", "until": "0.1.0123456789ab"}, 400, "bad_request"),
    ],
)
def test_refusals(member: Client, room: str, query: dict[str, str], status: int, code: str) -> None:
    answer = member.get(f"/roomline/archive/{room}", query)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_other_sites_and_strangers_are_refused(
    client: Client, archived: Log, roomline: Callable[..., None]
) -> None:
    other = client.get("/roomline/archive/chat.a", headers={"sec-fetch-site": "cross-site"})
    assert other.status_code == 403
    roomline(GUESTS=False)
    assert client.get("/roomline/archive/chat.a").status_code == 401


def test_one_s_own_room_and_the_notices(
    member: Client, users: dict[str, Any], archived: Log
) -> None:
    mine = f"user.{users['member'].pk}"
    archived.numbers(1, room=mine)
    archived.numbers(2, room="system.notices")
    archive(archived)
    for room, number in ((mine, 1), ("system.notices", 2)):
        assert [each["data"] for each in get(member, room)["publications"]] == [number]


def test_the_number_of_queries_is_constant(member: Client) -> None:
    position = stored("chat.a")[20]["position"]
    Generation.current()  # a new database begins its counter once
    counts = set()
    for limit in ("1", "20"):
        with CaptureQueriesContext(
            connection,
        ) as queries:
            get(member, "chat.a", before=position, limit=limit)
        counts.add(len(queries))
    assert counts == {6}, "generation, session, user, room, position, page"
    with CaptureQueriesContext(connection) as queries:
        get(member, "chat.a", until="0.-1.000000000000")
    assert len(queries) == 8, "and, for one that is not kept, the progress and what is before it"
    assert ArchivedPublication.objects.count() == 2 * COUNT
