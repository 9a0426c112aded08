"""The code tables: unique, in their ranges, and equal to the golden file that others read."""

import json
from enum import Enum
from pathlib import Path

import pytest
from roomline.core.codes import Disconnect, ErrorCode, Unrecoverable, Unsubscribed, tables

GOLDEN = Path(__file__).parents[1] / "golden" / "codes.json"


def test_the_golden_file_has_exactly_these_tables():
    assert json.loads(GOLDEN.read_text()) == tables()._asdict()


@pytest.mark.parametrize("table", [ErrorCode, Disconnect, Unsubscribed, Unrecoverable])
def test_codes_are_unique(table: type[Enum]):
    codes = [each.value[0] for each in table.__members__.values()]
    assert len(codes) == len(set(codes))


def test_the_range_of_a_disconnect_says_whether_to_come_back():
    for disconnect in Disconnect:
        assert 3001 <= disconnect.code <= 3999, "3000 is SockJS's own"
        assert disconnect.reconnect == (disconnect.code <= 3499)


def test_reasons_fit_into_a_close_frame():
    for disconnect in Disconnect:
        assert len(disconnect.reason.encode()) <= 123, "RFC 6455, section 5.5"


def test_every_code_is_explained():
    for table in (ErrorCode, Disconnect, Unsubscribed, Unrecoverable):
        for each in table:
            assert each.meaning.strip() == each.meaning != ""
