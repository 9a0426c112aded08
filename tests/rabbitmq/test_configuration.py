"""rabbitmq/ and docker-compose.yml: a broker takes the configuration, and nothing is given away."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from roomline.wire import MAX_BODY_BYTES

from tests.support.rabbitmq import RabbitMQNode

ROOT = Path(__file__).parents[2]
CONFIGURATION = ROOT / "rabbitmq" / "rabbitmq.conf"


@pytest.fixture(scope="module")
def service() -> dict[str, object]:
    """The RabbitMQ service of the compose file."""
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    found: dict[str, object] = services["rabbitmq"]
    return found


@pytest.fixture(scope="module")
def node() -> Iterator[RabbitMQNode]:
    """A broker that runs with our configuration instead of the tests' own."""
    node = RabbitMQNode()
    (node.folder / "rabbitmq.conf").write_text(CONFIGURATION.read_text())
    try:
        node.start()
        yield node
    finally:
        node.stop()


@pytest.mark.slow
def test_a_broker_takes_the_configuration(node: RabbitMQNode):
    assert node.evaluate("application:get_env(rabbit, max_message_size)") == (
        f"{{ok, {MAX_BODY_BYTES}}}"
    )


def test_the_size_limit_is_that_of_the_code():
    assert f"\nmax_message_size = {MAX_BODY_BYTES}\n" in CONFIGURATION.read_text()


def test_the_image_is_pinned_to_a_release_that_imports_topic_permissions(service):
    version = re.fullmatch(r"rabbitmq:(\d+)\.(\d+)-management", service["image"])
    assert version
    assert (int(version[1]), int(version[2])) >= (4, 2)


def test_the_configuration_is_mounted(service):
    mounts = [mount.split(":")[0] for mount in service["volumes"]]
    assert "./rabbitmq/rabbitmq.conf" in mounts
    assert CONFIGURATION.exists()


def test_passwords_come_from_the_environment(service):
    """Without a default: the broker does not start with a password that everybody knows."""
    for name in ("RABBITMQ_DEFAULT_USER", "RABBITMQ_DEFAULT_PASS"):
        assert re.fullmatch(r"\$\{[A-Z_]+:\?[^}]+\}", service["environment"][name])


def test_ports_are_open_to_this_machine_only(service):
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
