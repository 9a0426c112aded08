"""The page on browsers shows what the tests of the browsers expect."""

import re

from tests.browsers.engines import ENGINES
from tests.browsers.matrix import CLIENTS, ORIGINS, TRANSPORTS, Talk
from tests.docs.pages import ROOT, table

PAGE = "docs/browsers.rst"


def test_the_engines_are_those_that_are_opened() -> None:
    assert [row[0] for row in table(PAGE, "engines")] == list(ENGINES)


def test_what_works_is_what_is_expected_to() -> None:
    reasons = dict(re.findall(r"^(\d)\. (The .*)\.$", (ROOT / PAGE).read_text(), re.M))
    shown = {row[0]: row[1:] for row in table(PAGE, "transports")}
    assert list(shown) == list(TRANSPORTS)
    for transport, cells in shown.items():
        talks = [Talk(client, origin, transport) for client in CLIENTS for origin in ORIGINS]
        for talk, cell in zip(talks, cells, strict=True):
            for engine in ENGINES:
                reason = talk.unable(engine)
                if reason is None:
                    assert cell.startswith("works"), talk
                else:
                    assert reasons[cell.removeprefix("note ")].lower() == reason, talk
