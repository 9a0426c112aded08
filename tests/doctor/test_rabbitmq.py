"""roomline.cli.doctor, on a RabbitMQ that is well and on one that is not."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pika
import pytest
from roomline.brokers.rabbitmq_settings import RabbitMQSettings
from roomline.cli.doctor.rabbitmq import RabbitMQExamination
from roomline.config import Settings
from roomline.config.values import BUILT_IN_NAMESPACES
from roomline.core.policy import Namespace, Rule
from roomline.wire import ROOMS_EXCHANGE, ROOMS_STREAM

from tests.doctor.examined import Examined, examine
from tests.support.certificates import make_authority, make_certificate
from tests.support.definitions import PASSWORDS, Defined, defined, rabbitmq, rabbitmq_vhost
from tests.support.rabbitmq import RabbitMQNode, free_port

__all__ = ["defined", "rabbitmq", "rabbitmq_vhost"]

CHAT = dict(BUILT_IN_NAMESPACES) | {"chat": Namespace(Rule.PUBLIC, Rule.PUBLIC, 10, 60)}


def settings(broker: str, **changes: Any) -> Settings:
    usual = {
        "broker": broker,
        "namespaces": CHAT,
        "requests": True,
        "cluster_address": "127.0.0.1:8003",
    }
    return Settings(**(usual | changes))


@pytest.fixture
def console_file(defined: Defined, tmp_path: Path) -> str:
    """The console, as `monitor` sees it."""
    place = defined.node.management_url.removeprefix("http://")
    path = tmp_path / "console"
    path.write_text(f"http://monitor:{quote(PASSWORDS['monitor'], '')}@{place}\n")
    return str(path)


def log_of(defined: Defined) -> Any:
    """Everything in the rooms' log, as an administrator counts it."""
    return defined.node.evaluate(
        f'{{ok, Q}} = rabbit_amqqueue:lookup({{resource, <<"{defined.vhost}">>, queue,'
        f' <<"{ROOMS_STREAM}">>}}), proplists:get_value(messages, rabbit_amqqueue:info(Q))'
    )


def test_all_is_well_with_the_definitions(
    defined: Defined, console_file: str, capsys: pytest.CaptureFixture[str]
):
    before = log_of(defined)
    deadline = time.monotonic() + 30
    while True:  # the console has not counted everything at once
        found = examine(settings(defined.url("gateway")), capsys, console_file=console_file)
        assert found.problems == []
        if len(found.warnings) == 2:
            break
        assert time.monotonic() < deadline, found
    for stream in ("rooms.log", "control.log"):
        found.assert_one("warnings", f"{stream} has one replica")
    found.assert_one("fine", "RabbitMQ 3.", "lets gateway in")
    found.assert_one("fine", "there, in a shape that gateway may not compare", "'rooms.log'")
    found.assert_one("fine", "gateway may read rooms.log")
    found.assert_one("fine", "gateway may read control.log")
    found.assert_one("fine", "may publish into rooms of", "chat")
    found.assert_one("fine", "may send requests")
    found.assert_one("fine", "queue of its own for answers")
    found.assert_one("fine", "queue of its own for signals")
    found.assert_one("fine", "may tell other nodes of this one")
    found.assert_one("fine", "publications of up to 65536 bytes")
    found.assert_one("fine", "no alternate exchange")
    found.assert_one("fine", "bindings are there, none is missing")
    found.assert_one("fine", "clock", "agrees with that of RabbitMQ's console")
    assert log_of(defined) == before, "nothing is published by looking"


def test_what_a_user_with_other_rights_may_not(
    defined: Defined, capsys: pytest.CaptureFixture[str]
):
    found = examine(settings(defined.url("ops")), capsys)
    found.assert_one("fine", "ops may read rooms.log")
    found.assert_one("problems", "ops may not read control.log")
    found.assert_one("problems", "ops may not publish into rooms of admin")
    found.assert_one("problems", "ops may not send requests")
    found.assert_one("problems", "ops may not have a queue of its own for answers")
    found.assert_one("problems", "ops may not have a queue of its own for signals")
    found.assert_one("problems", "ops may not tell other nodes of this one")
    found.assert_one("fine", "ops may publish into rooms of", "chat")
    assert len(found.problems) == 6, found.problems
    revoking = examine(settings(defined.url("django")), capsys)
    revoking.assert_one("warnings", "django may revoke users and rooms")
    revoking.assert_one("problems", "django may not read control.log")


def test_another_namespace_than_the_definitions_have(
    defined: Defined, console_file: str, capsys: pytest.CaptureFixture[str]
):
    other = {"shop": CHAT["chat"]}
    found = examine(
        settings(defined.url("gateway"), namespaces=other), capsys, console_file=console_file
    )
    found.assert_one("problems", "gateway may not publish into rooms of shop")
    found.assert_one("problems", "nothing binds 'shop.#'")
    found.assert_one("warnings", "rooms.log also takes 'chat.#', which is no namespace")


@contextmanager
def channel(node: RabbitMQNode, vhost: str) -> Iterator[Any]:
    connection = pika.BlockingConnection(pika.URLParameters(node.url(vhost=vhost)))
    try:
        yield connection.channel()
    finally:
        connection.close()


def as_guest(node: RabbitMQNode, vhost: str, **changes: Any) -> Settings:
    """Settings of a gateway whose user may do everything, without requests."""
    return settings(node.url(vhost=vhost), requests=False, cluster_address="", **changes)


def by_guest(node: RabbitMQNode, tmp_path: Path) -> str:
    place = node.management_url.removeprefix("http://")
    path = tmp_path / "console"
    path.write_text(f"http://guest:guest@{place}")
    return str(path)


def test_an_empty_virtual_host_is_no_problem_for_whoever_may_declare(
    rabbitmq: RabbitMQNode,
    rabbitmq_vhost: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    console = by_guest(rabbitmq, tmp_path)
    before = declared(rabbitmq, rabbitmq_vhost)
    found = examine(settings(rabbitmq.url(vhost=rabbitmq_vhost)), capsys, console_file=console)
    assert found.problems == []
    found.assert_one("warnings", "the topic exchange 'rooms' is missing")
    found.assert_one("warnings", "the stream 'rooms.log' is missing")
    found.assert_one("warnings", "the queue 'requests' is missing")
    assert declared(rabbitmq, rabbitmq_vhost) == before, "nothing is made by looking"
    rabbitmq.add_user("weak", "weak")
    try:
        rabbitmq.allow("weak", vhost=rabbitmq_vhost, configure="^$")
        weak = settings(rabbitmq.url("weak", "weak", rabbitmq_vhost))
        found = examine(weak, capsys)
        found.assert_one("problems", "the topic exchange 'rooms' is missing, and weak may not")
        found.assert_one("problems", "the stream 'rooms.log' is missing, and weak may not")
    finally:
        rabbitmq.delete_user("weak")


def declared(node: RabbitMQNode, vhost: str) -> tuple[str, str]:
    return (
        node.evaluate(f'length(rabbit_amqqueue:list(<<"{vhost}">>))'),
        node.evaluate(f'length(rabbit_exchange:list(<<"{vhost}">>))'),
    )


def test_a_topology_of_another_shape(
    rabbitmq: RabbitMQNode,
    rabbitmq_vhost: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    with channel(rabbitmq, rabbitmq_vhost) as admin:
        admin.exchange_declare("lost", "fanout", durable=True)
        alternate = {"alternate-exchange": "lost"}
        admin.exchange_declare(ROOMS_EXCHANGE, "topic", durable=True, arguments=alternate)
        stream = {"x-queue-type": "stream", "x-max-age": "5s"}
        admin.queue_declare(ROOMS_STREAM, durable=True, arguments=stream)
        admin.queue_declare("eavesdropper", durable=True)
        admin.queue_bind("eavesdropper", ROOMS_EXCHANGE, "#")
    console = by_guest(rabbitmq, tmp_path)
    found = examine(as_guest(rabbitmq, rabbitmq_vhost), capsys, console_file=console)
    found.assert_one("problems", "exchange 'rooms' has an alternate exchange: what no log takes")
    found.assert_one("problems", "'rooms.log' is there in another shape", "inequivalent arg")
    found.assert_one("problems", "alternate exchange lost, by an argument")
    found.assert_one("problems", "nothing binds 'chat.#'")
    found.assert_one("warnings", "eavesdropper is bound to rooms with '#' and is not Roomline's")
    found.assert_one("warnings", "guest may write keys of more than 200 bytes")


def test_policies_are_seen_in_the_console(
    rabbitmq: RabbitMQNode,
    rabbitmq_vhost: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    with channel(rabbitmq, rabbitmq_vhost) as admin:
        admin.exchange_declare(ROOMS_EXCHANGE, "topic", durable=True)
        for stream in (ROOMS_STREAM, "control.log"):
            admin.queue_declare(stream, durable=True, arguments={"x-queue-type": "stream"})
    where = {"vhost": rabbitmq_vhost, "priority": 1}
    rabbitmq.define(
        {
            "policies": [
                where
                | {
                    "name": "astray",
                    "pattern": "^rooms$",
                    "apply-to": "exchanges",
                    "definition": {"alternate-exchange": "amq.fanout"},
                },
                where
                | {
                    "name": "short",
                    "pattern": "log$",
                    "apply-to": "queues",
                    "definition": {"max-age": "1h"},
                },
            ]
        }
    )
    console = by_guest(rabbitmq, tmp_path)
    found = examine(as_guest(rabbitmq, rabbitmq_vhost), capsys, console_file=console)
    deadline = time.monotonic() + 30
    while "sets max-age 1h for rooms.log" not in str(found) and time.monotonic() < deadline:
        found = examine(as_guest(rabbitmq, rabbitmq_vhost), capsys, console_file=console)
    found.assert_one("problems", "alternate exchange amq.fanout, by the policy astray")
    found.assert_one("problems", "the policy short sets max-age 1h for control.log")
    found.assert_one("fine", "a policy sets max-age 1h for rooms.log")

    # Whoever may only look does not see what policies of exchanges set, and all the rest.
    rabbitmq.add_user("watch", "watch", tags="monitoring")
    rabbitmq.allow("watch", vhost=rabbitmq_vhost, configure="^$", write="^$", read="^$")
    try:
        Path(console).write_text(Path(console).read_text().replace("guest:guest", "watch:watch"))
        found = examine(as_guest(rabbitmq, rabbitmq_vhost), capsys, console_file=console)
    finally:
        rabbitmq.delete_user("watch")
    found.assert_one("warnings", "the policy astray matches the exchange rooms, and watch may not")
    found.assert_one("problems", "the policy short sets max-age 1h for control.log")
    found.assert_one("fine", "a policy sets max-age 1h for rooms.log")
    found.assert_one("warnings", "rooms.log has one replica")


def test_whoever_sees_little_in_the_console_is_told_so(
    defined: Defined, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    path = tmp_path / "console"
    place = defined.node.management_url.removeprefix("http://")
    path.write_text(f"http://gateway:no-password@{place}")
    found = examine(settings(defined.url("gateway")), capsys, console_file=str(path))
    found.assert_one("warnings", "does not show gateway everything: nodes: 401")
    path.write_text("somewhere else")
    found = examine(settings(defined.url("gateway")), capsys, console_file=str(path))
    found.assert_one("problems", "console's address cannot be read")


@pytest.mark.parametrize(
    ("limit", "kind", "says"),
    [
        (1_000_000, "warnings", "RabbitMQ takes more than 65536 bytes at once"),
        (1000, "problems", "RabbitMQ takes at most 1000 bytes, and publications may have 65536"),
    ],
)
def test_the_size_that_rabbitmq_takes(
    limit: int, kind: str, says: str, defined: Defined, capsys: pytest.CaptureFixture[str]
):
    set_limit = "application:set_env(rabbit, max_message_size, {})"
    old = defined.node.evaluate("element(2, application:get_env(rabbit, max_message_size))")
    defined.node.evaluate(set_limit.format(limit))
    try:
        found = examine(settings(defined.url("gateway")), capsys)
    finally:
        defined.node.evaluate(set_limit.format(old))
    found.assert_one(kind, says)


def test_an_alarm(defined: Defined, console_file: str, capsys: pytest.CaptureFixture[str]):
    defined.node.raise_alarm()
    try:
        found = examine(settings(defined.url("gateway")), capsys)
    finally:
        defined.node.clear_alarm()
    found.assert_one("problems", "RabbitMQ takes no publications")
    found.assert_one("fine", "gateway may read rooms.log")


def test_no_way_in(defined: Defined, capsys: pytest.CaptureFixture[str]):
    node = defined.node

    def at(url: str) -> Examined:
        return examine(settings(url), capsys)

    found = at(node.url("gateway", "wrong", defined.vhost))
    found.assert_one("problems", "broker: RabbitMQ refuses the user name or the password")
    assert len(found.problems) == 1
    assert "wrong" not in str(found)
    found = at(node.url("gateway", PASSWORDS["gateway"], "elsewhere"))
    found.assert_one("problems", "RabbitMQ refuses the virtual host")
    found = at(f"amqp://127.0.0.1:{free_port()}")
    found.assert_one("problems", "no connection to RabbitMQ")


@pytest.mark.slow
def test_tls(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    make_authority(tmp_path)
    make_certificate(tmp_path, "server", "localhost")
    node = RabbitMQNode(certificates=tmp_path)
    try:
        node.start()
        url, ca = node.tls_url(), str(tmp_path / "ca.pem")
        found = examine(settings(url, broker_ca=ca), capsys)
        found.assert_one("warnings", "certificate expires in 2 days")
        found.assert_one("fine", "lets guest in: amqps://")
        found = examine(settings(url), capsys)
        found.assert_one("problems", "RabbitMQ's certificate is not accepted")
        found = examine(settings(url.replace("amqps:", "amqp:")), capsys)
        found.assert_one("problems", "no connection to RabbitMQ")
        found = examine(settings(url, broker_ca=str(tmp_path / "none.pem")), capsys)
        found.assert_one("problems", "is no file of CA certificates")
    finally:
        node.stop()


def test_the_address_that_a_password_would_travel_to_in_clear():
    far = RabbitMQSettings(url="amqp://u:p@rabbit.example", namespaces=("chat",))
    finding = RabbitMQExamination(far, requests=False, signals=False)._encryption()
    assert finding.status == "warning"
    assert "travel to rabbit.example in clear" in finding.says
