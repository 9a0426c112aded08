"""roomline.from_settings: values of their own for all settings, found again where they are used."""

from dataclasses import fields

from roomline.config import Settings, load
from roomline.core.limits import NodeLimits
from roomline.from_settings import make_held_settings, make_limits, make_transport_settings
from roomline.proxy import HeldSettings
from roomline.transport import TransportSettings

SETTINGS = load(
    {},
    {
        f"ROOMLINE_{name.upper()}": value
        for name, value in {
            "message_bytes": "2001",
            "outbox_bytes": "20002",
            "subscriptions": "103",
            "unconfirmed": "104",
            "unanswered": "122",
            "commands_per_second": "105",
            "commands_burst": "106",
            "publications_per_second": "107",
            "publications_burst": "108",
            "new_rooms_per_minute": "109",
            "new_rooms_burst": "110",
            "connect_timeout": "111",
            "history_bytes": "2000012",
            "retention_seconds": "113",
            "dedup_window": "114",
            "prefix": "/p115",
            "origins": "https://o116.example",
            "transports": "websocket",
            "sessions": "117",
            "sessions_per_address": "118",
            "new_sessions_per_second": "123",
            "new_sessions_burst": "124",
            "sessions_worth_per_address": "125",
            "sessions_worth": "126",
            "bytes_per_second": "2000127",
            "bytes_burst": "2000128",
            "heartbeat": "119",
            "disconnect_delay": "120",
            "response_limit": "5021",
            "held_responses": "129",
        }.items()
    },
)


def test_of_the_node() -> None:
    made, default = make_limits(SETTINGS), NodeLimits()
    unset = {
        field.name
        for field in fields(NodeLimits)
        if getattr(made, field.name) == getattr(default, field.name)
    }
    # Not for operators: they follow from the design.
    assert unset == {
        "index_entries",
        "unreadable_timeout",
        "waiting",
        "waiting_bytes",
        "waiting_timeout",
    }
    assert made.forget_rooms_after == SETTINGS.retention_seconds
    for name in {field.name for field in fields(Settings)} & {f.name for f in fields(made)}:
        assert getattr(made, name) == getattr(SETTINGS, name)


def test_of_the_endpoint() -> None:
    made = make_transport_settings(SETTINGS)
    assert made == TransportSettings(
        prefix="/p115",
        allowed_origins=frozenset({"https://o116.example"}),
        transports=frozenset({"websocket"}),
        message_bytes=2001,
        body_bytes=8 * 2001,
        sessions=117,
        sessions_per_address=118,
        new_sessions_per_second=123,
        new_sessions_burst=124,
        heartbeat_seconds=119,
        disconnect_delay=120,
        response_limit=5021,
    )


def test_of_what_is_held() -> None:
    """Event streams have the outbox of a session."""
    assert make_held_settings(SETTINGS) == HeldSettings(
        held=129,
        held_per_address=118,
        outbox_bytes=20002,
        heartbeat_seconds=119,
    )
