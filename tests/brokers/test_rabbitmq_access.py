"""The RabbitMQ broker's way in: addresses, users, rights, TLS."""

import asyncio
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from roomline.broker import BrokerError, BrokerUnavailable
from roomline.brokers.rabbitmq import RabbitMQBroker
from roomline.brokers.rabbitmq_settings import (
    Address,
    InvalidSetting,
    RabbitMQSettings,
    parse_address,
)
from roomline.wire import ROOMS_EXCHANGE, ROOMS_STREAM, Envelope

from tests.brokers.contract import Recorder
from tests.brokers.rabbitmq_world import RabbitMQWorld
from tests.support.certificates import make_authority, make_certificate
from tests.support.rabbitmq import RabbitMQNode, free_port, rabbitmq, rabbitmq_vhost  # noqa: F401

SECRET = "s3cr3t"


@pytest.fixture
def world(rabbitmq: RabbitMQNode, rabbitmq_vhost: str) -> RabbitMQWorld:  # noqa: F811
    return RabbitMQWorld(rabbitmq, rabbitmq_vhost)


async def refusal(broker: RabbitMQBroker) -> str:
    """Start, which must fail for good; returns what it says."""
    with pytest.raises(BrokerError) as caught:
        await broker.start(Recorder(5), "first")
    with pytest.raises(BrokerUnavailable):
        await broker.publish(Envelope("chat.lobby", b"1"))
    assert SECRET not in str(caught.value)
    return str(caught.value)


# Addresses.


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("amqp://host", Address(False, "host", 5672, "guest", "guest", "/")),
        ("amqp://host/", Address(False, "host", 5672, "guest", "guest", "/")),
        ("amqps://host/%2F", Address(True, "host", 5671, "guest", "guest", "/")),
        ("amqp://a:b@h:1/v", Address(False, "h", 1, "a", "b", "v")),
        ("amqp://a%40b:p%2Fw%23@h/x%2Fy", Address(False, "h", 5672, "a@b", "p/w#", "x/y")),
        ("amqp://[::1]:5673/v", Address(False, "::1", 5673, "guest", "guest", "v")),
    ],
)
def test_addresses(url: str, address: Address):
    assert parse_address(url) == address


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        (f"http://u:{SECRET}@host/", "amqp:// or amqps://"),
        ("", "amqp:// or amqps://"),
        (f"amqp://u:{SECRET}@/", "names no host"),
        (f"amqp://u:{SECRET}@host:99999/", "cannot be read"),
        (f"amqp://u:{SECRET}@host:x/", "cannot be read"),
        (f"amqp://u:{SECRET}@host:0/", "port 0"),
        (f"amqp://u:{SECRET}@[::1/", "cannot be read"),
        (f"amqp://u:{SECRET}@host/a/b", "%2F"),
        (f"amqp://u:{SECRET}@host/v?heartbeat=5", "settings of their own"),
        (f"amqp://u:a#{SECRET}@host/v", "%23"),
        (f"amqp://:{SECRET}@host/v", "empty user"),
    ],
)
def test_addresses_that_are_none(url: str, complaint: str):
    with pytest.raises(InvalidSetting) as caught:
        RabbitMQSettings(url=url, namespaces=("chat",))
    assert complaint in str(caught.value)
    assert SECRET not in str(caught.value)


def test_settings_do_not_show_the_password():
    settings = RabbitMQSettings(url=f"amqp://u:{SECRET}@host/v", namespaces=("chat",))
    assert SECRET not in repr(settings)
    assert SECRET not in repr(settings.address)


@pytest.mark.parametrize("namespaces", [(), ("a.b",), ("a b",), ("",), ("#",)])
def test_namespaces_are_single_words(namespaces: tuple[str, ...]):
    with pytest.raises(InvalidSetting, match="namespace"):
        RabbitMQSettings(url="amqp://host", namespaces=namespaces)


def test_tls_files_belong_together():
    here = Path(__file__)
    with pytest.raises(InvalidSetting, match="not amqps"):
        RabbitMQSettings(url="amqp://host", namespaces=("chat",), ca_file=here)
    with pytest.raises(InvalidSetting, match="together"):
        RabbitMQSettings(url="amqps://host", namespaces=("chat",), key_file=here)
    for files in ({"ca_file": here}, {"certificate_file": here, "key_file": here}):
        settings = RabbitMQSettings(url="amqps://host", namespaces=("chat",), **files)
        with pytest.raises(InvalidSetting, match=here.name):
            RabbitMQBroker(settings)


# Users and rights.


async def test_a_wrong_password(world: RabbitMQWorld):
    said = await refusal(world.broker(url=world.node.url("guest", SECRET, world.vhost)))
    assert "user name or the password" in said


async def test_no_such_virtual_host(world: RabbitMQWorld):
    said = await refusal(world.broker(url=world.node.url(vhost="nowhere")))
    assert "nowhere" in said


async def test_nobody_there_is_not_for_good(world: RabbitMQWorld):
    broker, recorder = world.broker(url=f"amqp://127.0.0.1:{free_port()}/"), Recorder(5)
    await broker.start(recorder, "first")
    assert recorder.told == ["cut_off"]
    with pytest.raises(BrokerUnavailable):
        await broker.publish(Envelope("chat.lobby", b"1"))
    await broker.close()


@pytest.fixture
def plain_user(world: RabbitMQWorld) -> str:
    """The address of a user who may publish and read, and declare nothing."""
    world.node.add_user("plain", SECRET)
    world.node.allow(
        "plain",
        vhost=world.vhost,
        configure="^$",
        write=f"^{ROOMS_EXCHANGE}$",
        read=f"^{ROOMS_STREAM}$",
    )
    return world.node.url("plain", SECRET, world.vhost)


async def test_without_rights_to_declare_what_is_there_is_used(
    world: RabbitMQWorld, plain_user: str
):
    async with world.running("next"):
        pass  # declares
    async with world.running("next", url=plain_user) as (broker, recorder):
        await broker.publish(Envelope("chat.lobby", b"1"))
        await recorder.until_bodies(1)


async def test_without_rights_to_declare_what_is_missing_is_named(
    world: RabbitMQWorld, plain_user: str
):
    said = await refusal(world.broker(url=plain_user))
    assert f"exchange '{ROOMS_EXCHANGE}' is missing" in said
    async with world.running("next"):
        pass
    await asyncio.to_thread(world.delete_stream)
    said = await refusal(world.broker(url=plain_user))
    assert f"stream '{ROOMS_STREAM}' is missing" in said


async def test_a_user_who_may_not_read_the_log(world: RabbitMQWorld):
    async with world.running("next"):
        pass
    world.node.add_user("writer", SECRET)
    world.node.allow("writer", vhost=world.vhost, configure="^$", read="^$")
    said = await refusal(world.broker(url=world.node.url("writer", SECRET, world.vhost)))
    assert ROOMS_STREAM in said


async def test_a_log_of_another_shape(world: RabbitMQWorld):
    def declare_queue() -> None:
        with world.plain_channel() as channel:
            channel.queue_declare(ROOMS_STREAM, durable=True)

    await asyncio.to_thread(declare_queue)
    assert "in another shape" in await refusal(world.broker())


async def test_other_retention_than_what_is_there(world: RabbitMQWorld):
    async with world.running("next"):
        pass
    said = await refusal(world.broker(max_age=3600))
    assert "x-max-age" in said
    assert "policy" in said


# TLS.


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    make_authority(folder)
    make_certificate(folder, "server", "localhost")
    make_certificate(folder, "client", "a gateway")
    return folder


@pytest.fixture(scope="module")
def tls_node(certificates: Path) -> Iterator[RabbitMQNode]:
    node = RabbitMQNode(certificates=certificates)
    node.start()
    yield node
    node.stop()


async def test_tls(tls_node: RabbitMQNode, certificates: Path):
    broker = RabbitMQBroker(
        RabbitMQSettings(
            url=tls_node.tls_url(),
            namespaces=("chat",),
            ca_file=certificates / "ca.pem",
            certificate_file=certificates / "client.pem",
            key_file=certificates / "client.key",
        )
    )
    recorder = Recorder(10)
    await broker.start(recorder, "next")
    await broker.publish(Envelope("chat.lobby", b"x" * 60_000))
    await recorder.until_bodies(1)
    subjects = tls_node.evaluate("rabbit_networking:connection_info_all([peer_cert_subject])")
    await broker.close()
    assert str(list(b"a gateway"))[1:-1].replace(" ", "") in subjects


@pytest.mark.parametrize("wrong", ["authority", "host"])
async def test_tls_with_a_certificate_that_does_not_prove_the_host(
    tls_node: RabbitMQNode, certificates: Path, wrong: str
):
    url = tls_node.tls_url(password=SECRET)
    settings = RabbitMQSettings(
        url=url.replace("localhost", "127.0.0.1") if wrong == "host" else url,
        namespaces=("chat",),
        ca_file=certificates / "ca.pem" if wrong == "host" else None,
    )
    assert "certificate is not accepted" in await refusal(RabbitMQBroker(settings))


def test_tls_verifies(certificates: Path):
    settings = RabbitMQSettings(
        url="amqps://host", namespaces=("chat",), ca_file=certificates / "ca.pem"
    )
    context = settings.tls_context()
    assert context is not None
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
