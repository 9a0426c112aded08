"""roomline.http.publications: publishing and history for holders of an API token."""

import asyncio
import json
import logging
import re
from pathlib import Path
from typing import Any

import pytest
from roomline.broker import PublishRejected
from roomline.brokers.embedded import EmbeddedBroker
from roomline.http.errors import ApiError
from roomline.wire import MAX_BODY_BYTES, Envelope

from tests.http.conftest import TOKEN, Api, Serve, error_of

ROOT = Path(__file__).parents[2]


async def pushed(api: Api, room: str, count: int = 1) -> list[dict[str, Any]]:
    """The publications of a room, once there are `count`."""
    for _ in range(500):
        publications = json.loads((await api.history(room)).body)["publications"]
        if len(publications) >= count:
            return list(publications)
        await asyncio.sleep(0.01)
    raise AssertionError(f"{room} has not got {count} publications")


class TestPublish:
    async def test_it_is_confirmed_and_in_the_history(self, api: Api) -> None:
        answer = await api.publish("chat.lobby", {"data": {"text": "hé"}})
        assert (answer.code, json.loads(answer.body)) == (201, {"room": "chat.lobby"})
        (push,) = await pushed(api, "chat.lobby")
        assert push["data"] == {"text": "hé"}
        assert push["kind"] == "message"
        assert push["time"] is not None
        assert "sender" not in push
        assert "origin" not in push

    async def test_all_fields(self, api: Api) -> None:
        body = {
            "data": None,
            "kind": "system",
            "key": "k1",
            "sender": {"id": "42", "name": "Ada"},
        }
        assert (await api.publish("system.notices", body)).code == 201
        (push,) = await pushed(api, "system.notices")
        assert push["data"] is None
        assert (push["kind"], push["key"]) == ("system", "k1")
        assert push["sender"] == {"id": "42", "name": "Ada"}

    async def test_a_sender_without_name_is_named_by_id(self, api: Api) -> None:
        await api.publish("chat.a", {"data": 1, "sender": {"id": "42"}})
        assert (await pushed(api, "chat.a"))[0]["sender"] == {"id": "42", "name": "42"}

    async def test_the_same_key_is_published_once(self, api: Api) -> None:
        for data in (1, 1, 2):
            answer = await api.publish("chat.a", {"data": data, "key": f"k{data}"})
            assert answer.code == 201
        assert [push["data"] for push in await pushed(api, "chat.a", 2)] == [1, 2]

    async def test_without_a_key_everything_is_published(self, api: Api) -> None:
        for _ in range(2):
            await api.publish("chat.a", {"data": 1})
        assert [push["data"] for push in await pushed(api, "chat.a", 2)] == [1, 1]

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"{",
            b"\xff",
            b"[1]",
            b"{}",
            b'{"data":NaN}',
            b'{"data":1,"kind":"admin"}',
            b'{"data":1,"kind":"control"}',
            b'{"data":1,"key":""}',
            b'{"data":1,"key":5}',
            b'{"data":1,"sender":"42"}',
            b'{"data":1,"sender":{"id":"a b"}}',
            b'{"data":1,"sender":{"id":"42","name":""}}',
            b'{"data":1,"sender":{"id":"42","name":null,"admin":true}}',
            b'{"data":1,"room":"chat.b"}',
            b'{"data":' + b"[" * 20_000 + b"]" * 20_000 + b"}",
        ],
    )
    async def test_a_bad_body(self, api: Api, body: bytes) -> None:
        assert error_of(await api.publish("chat.a", body)) == (400, "bad_request", False)

    async def test_too_large(self, api: Api) -> None:
        fits = {"data": "x" * (MAX_BODY_BYTES - 2)}
        assert (await api.publish("chat.a", fits)).code == 201
        large = {"data": "x" * (MAX_BODY_BYTES - 1)}
        assert error_of(await api.publish("chat.a", large)) == (413, "too_large", False)

    async def test_far_too_large_is_not_read(self, api: Api) -> None:
        # The server may close while this is still being written: both are refusals.
        answer = await api.publish("chat.a", b" " * (9 * MAX_BODY_BYTES))
        assert answer.code in (400, 599)
        assert (await api.publish("chat.a", {"data": 1})).code == 201

    async def test_the_broker_is_out_of_reach(self, api: Api) -> None:
        await api.broker.close()
        answer = await api.publish("chat.a", {"data": 1})
        assert error_of(answer) == (503, "unavailable", True)
        assert int(answer.headers["Retry-After"]) > 0

    async def test_the_broker_refuses(self, serve: Serve) -> None:
        class Refusing(EmbeddedBroker):
            def publish(self, envelope: Envelope) -> asyncio.Future[None]:
                future = asyncio.get_running_loop().create_future()
                future.set_exception(PublishRejected("not permitted to write here"))
                return future

        api = serve(broker_class=Refusing)
        answer = await api.publish("chat.a", {"data": 1})
        assert error_of(answer) == (422, "rejected", False)
        assert "not permitted to write here" in answer.body.decode()

    async def test_a_defect_is_logged_and_not_shown(
        self, serve: Serve, caplog: pytest.LogCaptureFixture
    ) -> None:
        class Broken(EmbeddedBroker):
            def publish(self, envelope: Envelope) -> asyncio.Future[None]:
                raise RuntimeError("internal details")

        api = serve(broker_class=Broken)
        answer = await api.publish("chat.a", {"data": 1})
        assert error_of(answer) == (500, "internal", False)
        assert "internal details" not in answer.body.decode()
        assert "internal details" in caplog.text


class TestRooms:
    @pytest.mark.parametrize(
        "room", ["chat..a", "chat.%20", "%00", "chat.a%2Fb", "chat." + "x" * 200]
    )
    async def test_a_bad_name(self, api: Api, room: str) -> None:
        for answer in (await api.publish(room, {"data": 1}), await api.history(room)):
            assert error_of(answer) == (400, "room_invalid", False)

    async def test_an_unknown_namespace(self, api: Api) -> None:
        for answer in (await api.publish("news.a", {"data": 1}), await api.history("news.a")):
            assert error_of(answer) == (404, "room_unknown", False)

    @pytest.mark.parametrize("room", ["control", "control.disconnect"])
    async def test_control_is_out_of_reach(self, api: Api, room: str) -> None:
        for answer in (await api.publish(room, {"data": 1}), await api.history(room)):
            assert error_of(answer) == (403, "forbidden", False)

    async def test_a_name_that_is_not_utf8(self, api: Api) -> None:
        assert error_of(await api.history("%ff")) == (400, "bad_request", False)


class TestHistory:
    async def test_an_empty_room(self, api: Api) -> None:
        answer = await api.history("chat.nobody")
        assert answer.code == 200
        fields = json.loads(answer.body)
        assert fields["publications"] == []
        assert isinstance(fields["position"], str)

    async def test_the_latest_oldest_first(self, api: Api) -> None:
        for number in range(5):
            await api.publish("chat.a", {"data": number})
        publications = await pushed(api, "chat.a", 5)
        assert [push["data"] for push in publications] == [0, 1, 2, 3, 4]
        latest = json.loads((await api.history("chat.a", "?limit=2")).body)
        assert latest["publications"] == publications[-2:]
        assert latest["position"] == publications[-1]["position"]
        none = json.loads((await api.history("chat.a", "?limit=0")).body)
        assert none["publications"] == []

    @pytest.mark.parametrize("query", ["?limit=-1", "?limit=10001", "?limit=x", "?limit=", "?a=1"])
    async def test_a_bad_limit(self, api: Api, query: str) -> None:
        assert error_of(await api.history("chat.a", query)) == (400, "bad_request", False)

    async def test_not_before_the_log_has_been_read(self, serve: Serve) -> None:
        api = serve()
        assert error_of(await api.history("chat.a")) == (503, "catching_up", True)


class TestTokens:
    @pytest.mark.parametrize("token", [None, "", "wrong", TOKEN[:-1], TOKEN + "x", "é" * 40])
    async def test_a_wrong_token(self, api: Api, token: str | None) -> None:
        for answer in (
            await api.publish("chat.a", {"data": 1}, token=token),
            await api.history("chat.a", token=token),
        ):
            assert error_of(answer) == (401, "unauthorized", False)
            assert answer.headers["WWW-Authenticate"] == "Bearer"

    async def test_another_scheme(self, api: Api) -> None:
        headers = {"Authorization": f"Basic {TOKEN}"}
        answer = await api.history("chat.a", token=None, headers=headers)
        assert answer.code == 401

    async def test_the_scheme_in_any_case(self, api: Api) -> None:
        headers = {"Authorization": f"bearer {TOKEN}"}
        assert (await api.history("chat.a", token=None, headers=headers)).code == 200

    async def test_every_configured_token_is_good(self, serve: Serve) -> None:
        api = serve(tokens=("a" * 32, "b" * 32))
        for token in ("a" * 32, "b" * 32):
            answer = await api.history("chat.a", token=token)
            assert error_of(answer) == (503, "catching_up", True)

    @pytest.mark.parametrize("token", [None, "", TOKEN])
    async def test_without_configured_tokens_the_api_is_off(
        self, serve: Serve, token: str | None
    ) -> None:
        api = serve(tokens=())
        assert error_of(await api.history("chat.a", token=token)) == (403, "api_off", False)

    async def test_a_wrong_token_learns_nothing_about_rooms(self, api: Api) -> None:
        for room in ("chat.a", "news.a", "control.a", "a..b"):
            assert (await api.history(room, token="wrong")).code == 401

    async def test_other_methods(self, api: Api) -> None:
        answer = await api.request("PUT", "/api/rooms/chat.a/publications", b"")
        assert error_of(answer) == (405, "method_not_allowed", False)

    async def test_nothing_of_a_request_is_logged(
        self, api: Api, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        await api.publish("chat.a", {"data": "private words"})
        await api.publish("chat.a", b'{"private words')
        await api.history("chat.a", token="wrong-token")
        await pushed(api, "chat.a")
        assert "private words" not in caplog.text
        assert TOKEN not in caplog.text
        assert "wrong-token" not in caplog.text


def test_the_documented_errors_are_those_of_the_code() -> None:
    text = (ROOT / "docs/http-api.rst").read_text()
    rows = re.findall(r"\* - (\d+)\n     - ``(\w+)``\n     - (\w+)\n     - (.+)\n", text)
    assert rows == [
        (str(e.status), e.code, "yes" if e.temporary else "no", e.meaning) for e in ApiError
    ]
