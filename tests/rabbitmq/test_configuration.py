"""rabbitmq/: a broker takes the configuration, and the image has what it names."""

import re
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from roomline import __version__
from roomline.wire import MAX_BODY_BYTES

from tests.support.certificates import make_authority, make_certificate
from tests.support.rabbitmq import RabbitMQNode, free_port

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "rabbitmq"
CONFIGURATION = FOLDER / "rabbitmq.conf"


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


@pytest.mark.slow
def test_a_broker_takes_the_tls_configuration(tmp_path: Path):
    make_authority(tmp_path)
    make_certificate(tmp_path, "server", "localhost")
    node = RabbitMQNode()
    port = free_port()
    text = (FOLDER / "tls.conf").read_text()
    for theirs, ours in (("/etc/rabbitmq/tls", str(tmp_path)), ("= 5671", f"= {port}")):
        assert theirs in text
        text = text.replace(theirs, ours)
    (node.folder / "rabbitmq.conf").write_text(CONFIGURATION.read_text() + text)
    trusting = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    try:
        node.start(wait=False)
        deadline = time.monotonic() + 60
        while True:
            try:
                with (
                    socket.create_connection(("localhost", port), 5) as plain,
                    trusting.wrap_socket(plain, server_hostname="localhost") as secured,
                ):
                    secured.sendall(b"AMQP\x00\x00\x09\x01")
                    assert secured.recv(1) == b"\x01", "a frame, and the first one is a method"
                break
            except ConnectionError:
                assert time.monotonic() < deadline
                assert node.running
                time.sleep(0.2)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", node.port), 5)
    finally:
        node.stop()


def test_the_image_is_the_version_of_the_packages():
    assert f'version="{__version__}"' in (FOLDER / "Dockerfile").read_text()


def test_the_image_has_what_its_entry_point_and_configuration_name():
    dockerfile = (FOLDER / "Dockerfile").read_text()
    for source in re.findall(r"^COPY (?:--\S+ )*(\S+) ", dockerfile, re.MULTILINE):
        assert (FOLDER / source).is_file()
    loaded = re.search(r"^load_definitions = (\S+)$", (FOLDER / "image.conf").read_text(), re.M)
    assert loaded
    entrypoint = (FOLDER / "entrypoint.sh").read_text()
    assert f"loaded=${{ROOMLINE_LOADED_DEFINITIONS:-{loaded[1]}}}" in entrypoint
    given = re.search(r"ROOMLINE_DEFINITIONS:-(\S+)}", entrypoint)
    assert given
    assert f"COPY definitions.json {given[1]}\n" in dockerfile


def test_the_size_limit_is_that_of_the_code():
    assert f"\nmax_message_size = {MAX_BODY_BYTES}\n" in CONFIGURATION.read_text()


def test_the_image_is_pinned_to_a_release_that_imports_topic_permissions():
    version = re.search(
        r"^FROM rabbitmq:(\d+)\.(\d+)-management$", (FOLDER / "Dockerfile").read_text(), re.M
    )
    assert version
    assert (int(version[1]), int(version[2])) >= (4, 2)
