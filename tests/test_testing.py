"""`roomline.testing`: a real gateway in this process, and the client that waits."""

import socket
import threading
import time
from pathlib import Path

import pytest
from roomline import testing
from roomline.client import TRANSPORTS, CommandRefused, Transport
from roomline.config import SettingsError
from roomline.listening import StartError
from roomline.testing import LiveGateway
from roomline.tokens import Keyring, sign_connection
from roomline.wire import DataTooLarge, InvalidName

from tests.support.rabbitmq import free_port

pytest_plugins = ["roomline.testing.pytest_plugin"]

SECRET = "s" * 32


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if "roomline" in thread.name}


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_what_is_published_arrives_over(live_gateway: LiveGateway, transport: Transport):
    with live_gateway.client(transport=transport) as client:
        lobby = client.subscribe("chat.lobby", history=10)
        live_gateway.publish("chat.lobby", {"text": "hello"}, kind="system")
        client.publish("chat.lobby", "from a client")
        first, second = lobby.next(), lobby.next()
    assert (first.data, first.kind) == ({"text": "hello"}, "system")
    assert (second.data, second.kind) == ("from a client", "message")
    assert lobby.room == "chat.lobby"


def test_several_at_once_share_nothing():
    with LiveGateway() as one, LiveGateway() as other:
        assert one.url != other.url
        one.publish("chat.lobby", "in one")
        with other.client() as client:
            lobby = client.subscribe("chat.lobby", history=10)
            with pytest.raises(TimeoutError, match=r"nothing was published to chat\.lobby within"):
                lobby.next(0.2)


def test_two_on_one_log(tmp_path: Path):
    log = f"embedded:{tmp_path}/log.sqlite3"
    with (
        LiveGateway(broker=log) as one,
        LiveGateway(broker=log) as other,
        other.client() as client,
    ):
        lobby = client.subscribe("chat.lobby")
        one.publish("chat.lobby", 1)
        assert lobby.next().data == 1
    assert (tmp_path / "log.sqlite3").exists(), "a log that was named is kept"


def test_nothing_is_left():
    before = threads()
    gateway = LiveGateway()
    gateway.start()
    log = Path(gateway.broker.removeprefix("embedded:"))
    assert log.exists()
    client = gateway.client()
    client.connect()
    gateway.stop()
    gateway.stop()
    client.close()
    client.close()
    assert threads() <= before
    assert not log.parent.exists()


def test_a_start_that_hangs_ends_in_time(monkeypatch: pytest.MonkeyPatch):
    """At a broker that accepts connections and says nothing."""
    monkeypatch.setattr(testing, "START_SECONDS", 0.5)
    before = threads()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        gateway = LiveGateway(broker=f"amqp://127.0.0.1:{silent.getsockname()[1]}/")
        with pytest.raises(TimeoutError, match=r"not read its log within 0\.5 seconds"):
            gateway.start()
    assert threads() <= before
    gateway.stop()


def test_a_gateway_that_cannot_be_ended_leaves_no_folder(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(testing, "START_SECONDS", 0.1)
    monkeypatch.setattr(testing, "STOP_SECONDS", 0.1)
    release = threading.Event()

    class Stuck(LiveGateway):
        async def _serve(self, started: threading.Event) -> None:
            release.wait(30)

    gateway = Stuck()
    try:
        with pytest.raises(TimeoutError, match="not read its log"):
            gateway.start()
        folder = Path(gateway.broker.removeprefix("embedded:")).parent
        assert folder.name.startswith("roomline-")
        assert not folder.exists()
        with pytest.raises(TimeoutError, match="has not ended"):
            gateway.stop()
    finally:
        release.set()
    gateway.stop()


def test_settings_that_are_not_accepted_are_said_before_anything_starts():
    with pytest.raises(SettingsError, match="namespaces"):
        LiveGateway(namespaces="chat:read=everybody")
    with pytest.raises(SettingsError, match="NAMESPACE"):
        LiveGateway(namespace="chat:read=public")


def test_a_port_that_is_taken_is_said():
    with LiveGateway(port=str(free_port())) as gateway:
        port = gateway.url.rpartition("/")[0].rpartition(":")[2]
        another = LiveGateway(port=port)
        with pytest.raises(StartError, match=port):
            another.start()


def test_it_is_started_once(live_gateway: LiveGateway):
    with pytest.raises(RuntimeError, match="make another one"):
        live_gateway.start()


def test_bad_publications_are_refused_as_everywhere(live_gateway: LiveGateway):
    with pytest.raises(InvalidName):
        live_gateway.publish("no room", 1)
    with pytest.raises(DataTooLarge):
        live_gateway.publish("chat.lobby", "x" * 70_000)


class TestSettings:
    @pytest.fixture
    def live_gateway_settings(self) -> dict[str, str]:
        return {"anonymous": "false", "keys": f"1:{SECRET}"}

    def test_come_from_a_fixture(self, live_gateway: LiveGateway):
        with pytest.raises(CommandRefused, match="token"):
            live_gateway.client().connect()
        token = sign_connection(Keyring({"1": SECRET}), "7", now=time.time(), lifetime=60)
        with live_gateway.client(token=lambda: token) as client:
            assert client.client.connected is not None
            assert client.client.connected.user is not None
            assert client.client.connected.user.id == "7"


def test_an_unsubscribed_room_has_no_next(live_gateway: LiveGateway):
    with live_gateway.client() as client:
        lobby = client.subscribe("chat.lobby")
        client.unsubscribe("chat.lobby")
        with pytest.raises(EOFError, match=r"unsubscribed from chat\.lobby"):
            lobby.next()


def test_a_client_that_is_not_connected_says_so(live_gateway: LiveGateway):
    client = live_gateway.client()
    with pytest.raises(RuntimeError, match=r"call connect\(\)"):
        client.subscribe("chat.lobby")


def test_a_refused_client_leaves_no_thread(live_gateway: LiveGateway):
    before = threads()
    client = live_gateway.client(first_delay=0.01)
    client._make.keywords["client_id"] = "short"
    with pytest.raises(CommandRefused):
        client.connect()
    assert threads() <= before
