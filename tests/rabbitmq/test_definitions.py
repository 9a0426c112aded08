"""rabbitmq/definitions.json and its passwords: each user can do its work, and nothing beside it."""

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pika
import pytest
from pika.exceptions import AMQPConnectionError
from roomline.brokers.topology import SIGNALS_EXCHANGE
from roomline.client import BlockingClient
from roomline.requests import (
    DEAD_REQUESTS,
    NODES_EXCHANGE,
    REQUESTS_EXCHANGE,
    REQUESTS_QUEUE,
    Answer,
    answer_properties,
)
from roomline.wire import CONTROL_STREAM, ROOMS_EXCHANGE, ROOMS_STREAM

from tests.docs.walkthrough import clean_environment
from tests.support.definitions import (
    ENVIRONMENT,
    FOLDER,
    NAMESPACES,
    PASSWORDS,
    Defined,
    defined,
    enter,
    generated,
    rabbitmq,
    rabbitmq_vhost,
)
from tests.support.gateway import Gateway
from tests.support.rabbitmq import free_port
from tests.support.tokens import connection_token

__all__ = ["defined", "rabbitmq", "rabbitmq_vhost"]

REFUSED = 403


def test_the_file_is_what_is_generated():
    """If this fails: ``roomline definitions --namespaces chat:read=token,write=token`` into it."""
    assert (FOLDER / "definitions.json").read_text() == generated()


def test_nobody_can_log_in_before_the_entry_point_has_run():
    users = json.loads((FOLDER / "definitions.json").read_text())["users"]
    assert [user["name"] for user in users] == list(PASSWORDS)
    assert all(user["password_hash"] == "" for user in users)


def test_passwords_come_from_the_environment_and_do_not_stay_there(tmp_path: Path):
    secret = tmp_path / "secret"
    secret.write_text(PASSWORDS["ops"] + "\n")
    given = ENVIRONMENT | {"OPS_PASSWORD": "", "OPS_PASSWORD_FILE": str(secret)}
    done = enter(tmp_path, generated(), **given)
    assert done.returncode == 0, done.stderr
    assert "starts: rabbitmq-server" in done.stdout
    loaded = tmp_path / "loaded.json"
    assert loaded.stat().st_mode & 0o077 == 0
    hashes = {user["password_hash"] for user in json.loads(loaded.read_text())["users"]}
    assert len(hashes) == len(PASSWORDS)
    for text in (done.stdout, loaded.read_text()):
        assert not any(password in text for password in PASSWORDS.values())
    assert not any(known in done.stdout for known in hashes)


@pytest.mark.parametrize(
    ("environment", "complaint"),
    [
        ({"OPS_PASSWORD": ""}, "OPS_PASSWORD, or OPS_PASSWORD_FILE, is not set"),
        ({"DJANGO_PASSWORD": "short"}, "DJANGO_PASSWORD is shorter than 12 characters"),
        ({"OPS_PASSWORD_FILE": "/dev/null"}, "are both set: give one"),
        ({"OPS_PASSWORD": "", "OPS_PASSWORD_FILE": "/nowhere"}, "/nowhere cannot be read"),
        ({"ERLANG_COOKIE": "short"}, "ERLANG_COOKIE is shorter than 12 characters"),
    ],
)
def test_it_does_not_start_without_passwords(
    tmp_path: Path, environment: dict[str, str], complaint: str
):
    done = enter(tmp_path, generated(), **(ENVIRONMENT | environment))
    assert done.returncode == 64
    assert complaint in done.stderr
    assert "starts" not in done.stdout
    assert "short\n" not in done.stderr


@pytest.mark.parametrize("before", [None, "another"])
def test_the_secret_of_a_cluster_goes_into_a_file_for_its_owner_alone(
    tmp_path: Path, before: str | None
):
    cookie = tmp_path / "cookie"
    if before:
        cookie.write_text(before)
        cookie.chmod(0o400)
    done = enter(tmp_path, generated(), **ENVIRONMENT, ERLANG_COOKIE="known-to-all-nodes")
    assert done.returncode == 0, done.stderr
    assert cookie.read_text() == "known-to-all-nodes"
    assert cookie.stat().st_mode & 0o777 == 0o600
    assert "known-to-all-nodes" not in done.stdout


def test_a_node_alone_makes_its_own_secret(tmp_path: Path):
    assert enter(tmp_path, generated(), **ENVIRONMENT).returncode == 0
    assert not (tmp_path / "cookie").exists()


# What follows is a RabbitMQ with these definitions.


MAY_PUBLISH = [
    ("gateway", ROOMS_EXCHANGE, "chat.lobby"),
    ("gateway", REQUESTS_EXCHANGE, "orders.cancel"),
    ("django", ROOMS_EXCHANGE, "admin.log"),
    ("django", ROOMS_EXCHANGE, "control.user"),
    ("django", REQUESTS_EXCHANGE, "orders.cancel"),
    ("ops", ROOMS_EXCHANGE, "chat." + "x" * 195),
    ("ops", ROOMS_EXCHANGE, "system.notices"),
]
MAY_NOT_PUBLISH = [
    ("gateway", ROOMS_EXCHANGE, "control.user"),
    ("gateway", ROOMS_EXCHANGE, "other.room"),
    ("gateway", ROOMS_EXCHANGE, "chatter.room"),
    ("gateway", ROOMS_EXCHANGE, "chat..room"),
    ("gateway", ROOMS_EXCHANGE, "chat.room\n"),
    ("gateway", ROOMS_EXCHANGE, "chat.#"),
    ("gateway", "", ROOMS_STREAM),
    ("gateway", NODES_EXCHANGE, "node.0"),
    ("gateway", DEAD_REQUESTS, ""),
    ("django", "", REQUESTS_QUEUE),
    ("django", "amq.topic", "chat.lobby"),
    ("django", ROOMS_EXCHANGE, "chat." + "x" * 196),
    ("ops", ROOMS_EXCHANGE, "admin.log"),
    ("ops", ROOMS_EXCHANGE, "control.room"),
    ("ops", ROOMS_EXCHANGE, "chat." + "x" * 196),
    ("ops", REQUESTS_EXCHANGE, "orders.cancel"),
    ("ops", NODES_EXCHANGE, "node.0"),
    ("django", SIGNALS_EXCHANGE, ""),
    ("ops", SIGNALS_EXCHANGE, ""),
    ("monitor", ROOMS_EXCHANGE, "chat.lobby"),
]
MAY_READ = {
    "gateway": {ROOMS_STREAM, CONTROL_STREAM},
    "django": {ROOMS_STREAM, REQUESTS_QUEUE, DEAD_REQUESTS},
    "ops": {ROOMS_STREAM},
    "monitor": set[str](),
}


def test_who_may_publish_what(defined: Defined):
    for user, exchange, key in MAY_PUBLISH:
        code = defined.code(user, "basic_publish", exchange, key, b"1", mandatory=True)
        assert code == 0, (user, exchange, key)
    for user, exchange, key in MAY_NOT_PUBLISH:
        code = defined.code(user, "basic_publish", exchange, key, b"1", mandatory=True)
        assert code == REFUSED, (user, exchange, key)


def test_who_may_read_what(defined: Defined):
    for user, allowed in MAY_READ.items():
        for queue in (ROOMS_STREAM, CONTROL_STREAM, REQUESTS_QUEUE, DEAD_REQUESTS):
            expected = 0 if queue in allowed else REFUSED
            assert defined.code(user, "basic_consume", queue, print) == expected, (user, queue)


def test_nobody_may_declare_delete_or_bind_anything(defined: Defined):
    for user in PASSWORDS:
        for method, *arguments in (
            ("queue_declare", "mine"),
            ("queue_declare", "node.not-hexadecimal"),
            ("exchange_declare", "mine"),
            ("queue_delete", ROOMS_STREAM),
            ("exchange_delete", ROOMS_EXCHANGE),
            ("queue_bind", ROOMS_STREAM, ROOMS_EXCHANGE, "other.#"),
        ):
            assert defined.code(user, method, *arguments) == REFUSED, (user, method)


def test_the_ways_of_the_console(defined: Defined):
    assert defined.publish_in_console("ops", "chat.lobby", "hello") == {"routed": True}
    refused = defined.publish_in_console("ops", "admin.log", "hello")
    assert "access to topic 'admin.log' in exchange 'rooms'" in refused["reason"]
    assert "refused for user 'ops'" in refused["reason"]
    unknown = defined.publish_in_console("django", "chat.lobby", "hello")
    assert unknown["error"] == "not_authorised"


def test_a_wrong_password_is_one(defined: Defined):
    with pytest.raises(AMQPConnectionError):
        pika.BlockingConnection(
            pika.URLParameters(defined.node.url("gateway", "gateway", defined.vhost))
        )


def test_a_gateway_a_publisher_a_worker_and_an_operator_do_their_work(defined: Defined):
    gateway = Gateway(
        defined.url("gateway"),
        NAMESPACES="chat:read=public,write=public",
        REQUESTS="true",
        PUBLISHERS="django",
        CLUSTER_ADDRESS=f"127.0.0.1:{free_port()}",
        CLUSTER_KEY="k" * 32,
    )
    try:
        gateway.start()
        assert "signals are not possible" not in gateway.log
        with (
            BlockingClient(gateway.url) as client,
            defined.channel("django") as django,
        ):
            lobby = client.subscribe("chat.lobby")
            client.publish("chat.lobby", "from a page")
            django.basic_publish(
                ROOMS_EXCHANGE,
                "chat.lobby",
                b'"from Django"',
                pika.BasicProperties(type="admin", user_id="django"),
                mandatory=True,
            )
            assert defined.publish_in_console("ops", "chat.lobby", "by hand")["routed"]
            heard = [lobby.next(10) for _ in range(3)]
            assert [publication.data for publication in heard] == [
                "from a page",
                "from Django",
                "by hand",
            ]
            assert [publication.kind for publication in heard] == ["message", "admin", "message"]

            def work(channel: Any, method: Any, properties: Any, body: bytes) -> None:
                answer = Answer(b'"done"')
                channel.basic_publish(
                    NODES_EXCHANGE,
                    properties.reply_to,
                    answer.body,
                    pika.BasicProperties(
                        **answer_properties(properties.correlation_id, answer, "django")
                    ),
                )
                channel.basic_ack(method.delivery_tag)
                channel.stop_consuming()

            django.basic_consume(REQUESTS_QUEUE, work)
            answers: list[Any] = []
            asking = threading.Thread(
                target=lambda: answers.append(client.request("orders.cancel", 7)), daemon=True
            )
            asking.start()
            django.start_consuming()
            asking.join(10)
            assert answers == ["done"]
    finally:
        gateway.close()


def test_an_operator_publishes_and_follows_from_a_terminal(defined: Defined, tmp_path: Path):
    """As in the console, and marked like that for everybody else."""
    gateway = Gateway(defined.url("gateway"), NAMESPACES=NAMESPACES, PUBLISHERS="django")
    gateway.start()
    try:
        with BlockingClient(
            gateway.url, token=lambda: connection_token("1", read=("chat.lobby",))
        ) as client:
            room = client.subscribe("chat.lobby")
            published = roomline(defined, "publish", "chat.lobby", '"by hand"')
            assert published.returncode == 0, published.stderr
            heard = room.next(timeout=10)
            assert (heard.data, heard.origin) == ("by hand", "operations")
    finally:
        gateway.close()
    refused = roomline(defined, "publish", "admin.log", "1")
    assert refused.returncode == 1
    assert "refused for user 'ops'" in refused.stderr
    followed = roomline(defined, "tail", "--since", "first", "--no-follow", "--json")
    assert followed.returncode == 0, followed.stderr
    [line] = [json.loads(line) for line in followed.stdout.splitlines()]
    assert (line["room"], line["data"], line["publisher"]) == ("chat.lobby", "by hand", "ops")


def roomline(defined: Defined, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """What the command says to an operator."""
    return subprocess.run(
        [sys.executable, "-m", "roomline", *arguments],
        env=clean_environment()
        | {"ROOMLINE_BROKER": defined.url("ops"), "ROOMLINE_NAMESPACES": NAMESPACES},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
