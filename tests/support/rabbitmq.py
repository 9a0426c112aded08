"""A private RabbitMQ node for tests: its own ports, data and epmd, all on loopback.

As a script it runs one until Ctrl-C::

    python -m tests.support.rabbitmq [--management]

In tests, import the fixtures `rabbitmq` (one node per process, running whenever a test begins)
and `rabbitmq_vhost` (a fresh virtual host per test on it).
"""

import argparse
import atexit
import contextlib
import functools
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pika
import pika.exceptions
import pytest

SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
"""The server itself: the wrapper on the PATH changes the user and writes to /var."""

START_SECONDS = 60.0
PROBE = "readiness"
"""A virtual host, and a stream in it, that serve only to see whether streams are usable."""

CONFIG = """\
max_message_size = 65536
disk_free_limit.absolute = 1MB
log.console = false
log.file.level = warning
"""


_PORTS = range(10_000, 32_000)
"""Below those that the system gives to outgoing connections, which might take one meanwhile."""


def free_port() -> int:
    """A loopback TCP port that nobody listens on."""
    while True:
        port = secrets.choice(_PORTS)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def free_ports(count: int) -> int:
    """The first of so many free ports in a row."""
    while True:
        first = free_port()
        try:
            for port in range(first, first + count):
                with socket.socket() as tried:
                    tried.bind(("127.0.0.1", port))
        except (OSError, OverflowError):
            continue
        return first


_EVALUATE_ATTEMPTS = 5
"""On a busy machine erl_call now and then does not get its connection. What is evaluated here may
be evaluated again."""


class RabbitMQNode:
    """One RabbitMQ node. `guest`/`guest` may do everything in every virtual host made here.

    Restarting keeps ports and data. All methods block; from a coroutine call them through
    `asyncio.to_thread` if the loop has to go on meanwhile.
    """

    def __init__(self, *, management: bool = False, certificates: Path | None = None) -> None:
        """`certificates`: a folder with ``ca.pem``, ``server.pem``, ``server.key``; with it the
        node also listens for TLS, and verifies client certificates that are presented."""
        self.folder = Path(tempfile.mkdtemp(prefix="roomline-rabbitmq-"))
        self._management = management
        self._certificates = certificates
        self._choose_ports()
        self._cookie = secrets.token_hex(16)
        self._epmd: subprocess.Popen[bytes] | None = None
        self._server: subprocess.Popen[bytes] | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None
        self._defined = False
        self._frozen = False
        home = self.folder / "home"
        home.mkdir()
        cookie = home / ".erlang.cookie"
        cookie.write_text(self._cookie)
        cookie.chmod(0o400)
        self._write_configuration()

    def _choose_ports(self) -> None:
        self.port = free_port()
        self.management_port = free_port() if self._management else None
        self.metrics_port = free_port() if self._management else None
        self.tls_port = free_port() if self._certificates else None
        self._epmd_port = free_port()
        self._dist_port = free_port()

    def _write_configuration(self) -> None:
        certificates = self._certificates
        config = CONFIG
        if self.management_port:
            config += (
                f"management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {self.management_port}\n"
                f"prometheus.tcp.ip = 127.0.0.1\nprometheus.tcp.port = {self.metrics_port}\n"
            )
        if certificates:
            config += (
                f"listeners.ssl.1 = 127.0.0.1:{self.tls_port}\n"
                f"ssl_options.cacertfile = {certificates}/ca.pem\n"
                f"ssl_options.certfile = {certificates}/server.pem\n"
                f"ssl_options.keyfile = {certificates}/server.key\n"
                "ssl_options.verify = verify_peer\n"
                "ssl_options.fail_if_no_peer_cert = false\n"
            )
        (self.folder / "rabbitmq.conf").write_text(config)
        # As in the image: rabbitmq/enabled_plugins.
        plugins = "rabbitmq_management,rabbitmq_prometheus" if self.management_port else ""
        (self.folder / "enabled_plugins").write_text(f"[{plugins}].\n")

    @property
    def _environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": f"{self.folder}/home",
            "RABBITMQ_NODENAME": "test@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            "RABBITMQ_MNESIA_BASE": f"{self.folder}/data",
            "RABBITMQ_LOG_BASE": f"{self.folder}/log",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{self.folder}/enabled_plugins",
            "RABBITMQ_CONFIG_FILE": f"{self.folder}/rabbitmq.conf",
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            # The launcher script then becomes the virtual machine: its pid is the one to kill.
            "RUNNING_UNDER_SYSTEMD": "1",
            # Loopback only, and no spinning schedulers: tests share the machine.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "-kernel inet_dist_use_interface {127,0,0,1}"
                " +sbwt none +sbwtdcpu none +sbwtdio none"
            ),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self._epmd_port),
        }

    @property
    def running(self) -> bool:
        """Whether the server process lives."""
        return self._server is not None and self._server.poll() is None

    def url(self, user: str = "guest", password: str = "guest", vhost: str = "/") -> str:
        """The AMQP address for this user and virtual host."""
        login = f"{quote(user, '')}:{quote(password, '')}"
        return f"amqp://{login}@127.0.0.1:{self.port}/{quote(vhost, '')}"

    def tls_url(self, user: str = "guest", password: str = "guest", vhost: str = "/") -> str:
        """The AMQP-over-TLS address, by the name that the server's certificate states."""
        assert self.tls_port, "this node was made without certificates"
        return (
            f"amqps://{quote(user)}:{quote(password)}@localhost:{self.tls_port}/{quote(vhost, '')}"
        )

    @property
    def management_url(self) -> str:
        """The address of the console and its HTTP API."""
        assert self.management_port, "this node was made without the management plugin"
        return f"http://127.0.0.1:{self.management_port}"

    def start(self, *, wait: bool = True) -> None:
        """Start, or start again, with the same ports and data; return when streams are usable.

        ``wait=False`` returns at once.
        """
        assert not self.running, "the node is running"
        if not SERVER.exists():
            raise RuntimeError(f"{SERVER} is missing: install Debian's package rabbitmq-server")
        environment = self._environment
        if self._epmd is None:
            epmd = ["epmd", "-address", "127.0.0.1", "-port", str(self._epmd_port)]
            self._epmd = subprocess.Popen(epmd, env=environment, stdin=subprocess.DEVNULL)
        with open(self.folder / "console.log", "ab") as output:
            self._server = subprocess.Popen(
                [SERVER],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is for us, who then stop the node
            )
        # Ends the server if this process vanishes without a chance to: its standard input ends.
        script = 'read _; kill -KILL "$@" 2>/dev/null'
        pids = [str(self._server.pid), str(self._epmd.pid)]
        self._watchdog = subprocess.Popen(
            ["/bin/sh", "-c", script, "watchdog", *pids],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        if wait:
            self.wait_until_usable()

    def _start_elsewhere(self) -> bool:
        """Where another program took one of the ports before the node did: start again with other
        ones. False: it did not end for that, or its ports are known already."""
        if self._defined or "already_used" not in (self.folder / "console.log").read_text():
            return False
        self.kill()
        if self._epmd:
            self._epmd.kill()
            self._epmd.wait()
            self._epmd = None
        (self.folder / "console.log").unlink()
        self._choose_ports()
        if self.management_port or self.tls_port:
            self._write_configuration()
        self.start(wait=False)
        return True

    def wait_until_usable(self) -> None:
        """Return when a mandatory publish to a stream is confirmed; AMQP answers before that."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                if not self._defined:
                    self._probe_define()
                return self._probe_publish()
            except (pika.exceptions.AMQPError, subprocess.CalledProcessError) as error:
                if not self.running and self._start_elsewhere():
                    continue
                if not self.running or time.monotonic() > deadline:
                    log = (self.folder / "console.log").read_text()[-2000:]
                    raise RuntimeError(f"RabbitMQ did not start: {error!r}\n{log}") from error
            time.sleep(0.1)

    def _probe_define(self) -> None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", self.port)):
                raise pika.exceptions.AMQPConnectionError("nobody listens yet")
        self.add_vhost(PROBE)
        self._defined = True

    def _probe_publish(self) -> None:
        parameters = pika.URLParameters(self.url(vhost=PROBE))
        parameters.blocked_connection_timeout = 5
        connection = pika.BlockingConnection(parameters)
        try:
            channel = connection.channel()
            channel.queue_declare(PROBE, durable=True, arguments={"x-queue-type": "stream"})
            channel.confirm_delivery()
            channel.basic_publish("", PROBE, b"", mandatory=True)
        finally:
            if connection.is_open:
                connection.close()

    def kill(self) -> None:
        """SIGKILL. What was confirmed stays, and so does what was declared.

        RabbitMQ writes declarations up to 3 seconds late; a kill sooner leaves streams that are
        "down or inaccessible" for ever, so those are flushed first. Messages get no such help.
        """
        if self._server is None or self._watchdog is None:
            return
        if self.running and not self._frozen:
            self._flush()
        self._server.kill()
        self._server.wait()
        self._watchdog.kill()
        self._watchdog.communicate()
        self._server = self._watchdog = None
        self._frozen = False

    def _flush(self) -> None:
        """Have what was declared written now."""
        if self._defined:
            self.evaluate("mnesia:sync_log(), [dets:sync(Table) || Table <- dets:all()]")

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Inside, the node's process is stopped: connections stay open and nothing answers."""
        self.freeze()
        try:
            yield
        finally:
            assert self._server, "the node is not running"
            self._server.send_signal(signal.SIGCONT)
            self._frozen = False

    def freeze(self) -> None:
        """Stop the node's process, until it is killed or goes on at the end of `frozen`."""
        assert self._server, "the node is not running"
        self._flush()  # it may be killed, and cannot do that then
        self._frozen = True
        self._server.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self._server.pid, os.WSTOPPED)  # its threads do not stop at once

    def restart(self, *, wait: bool = True) -> None:
        """Kill, and start again with the same ports and data."""
        self.kill()
        self.start(wait=wait)

    def stop(self) -> None:
        """End everything and delete the data."""
        self.kill()
        if self._epmd:
            self._epmd.kill()
            self._epmd.wait()
            self._epmd = None
        shutil.rmtree(self.folder, ignore_errors=True)

    def evaluate(self, expression: str) -> str:
        """Evaluate Erlang on the node, as ``rabbitmqctl eval`` does but in milliseconds.

        Returns the printed value; raises `subprocess.CalledProcessError` if the node does not
        answer, `RuntimeError` if evaluation failed.
        """
        # The outcome is wrapped: without that a failed evaluation would look like a value.
        wrapped = f"try {{ok, (begin {expression} end)}} catch C:E -> {{failed, C, E}} end.\n"
        command = [
            "erl_call",
            "-sname",
            "test@localhost",
            "-c",
            self._cookie,
            "-timeout",
            "20",
            "-e",
        ]
        for attempt in range(_EVALUATE_ATTEMPTS):
            done = subprocess.run(
                command,
                env=self._environment,
                input=wrapped.encode(),
                capture_output=True,
                timeout=30,
                check=attempt == _EVALUATE_ATTEMPTS - 1,
            )
            if done.returncode == 0:
                break
            time.sleep(0.5)
        answer = done.stdout.decode()
        if not answer.startswith("{ok, {ok, "):
            raise RuntimeError(f"{expression} gave {answer}{done.stderr.decode()}")
        return answer.removeprefix("{ok, {ok, ").removesuffix("}}")

    def define(self, definitions: dict[str, Any]) -> None:
        """Import definitions: users, virtual hosts, permissions, exchanges, queues, bindings,
        in the format of RabbitMQ's ``load_definitions`` files."""
        text = json.dumps(definitions)  # ASCII, and an Erlang string escapes the same two
        literal = text.replace("\\", "\\\\").replace('"', '\\"')
        answer = self.evaluate(f'rabbit_definitions:import_raw(<<"{literal}">>)')
        if answer != "ok":
            raise RuntimeError(f"definitions were not accepted: {answer}")

    def add_vhost(self, name: str) -> None:
        """Make a virtual host in which `guest` may do everything."""
        self.define({"vhosts": [{"name": name}]})
        self.allow("guest", vhost=name)

    def delete_vhost(self, name: str) -> None:
        """Delete a virtual host with everything in it."""
        self.evaluate(f'rabbit_vhost:delete(<<"{name}">>, <<"tests">>)')

    def run_tools(self, script: str) -> str:
        """What a shell script says in which ``rabbitmqctl`` and its like speak to this node.

        Each command takes a second; raises `subprocess.CalledProcessError` if one fails.
        """
        environment = self._environment
        environment["PATH"] = f"{SERVER.parent}:{environment['PATH']}"
        command = ["sh", "-ec", script]
        return subprocess.run(
            command, env=environment, stdout=subprocess.PIPE, text=True, timeout=120, check=True
        ).stdout

    def delete_user(self, name: str) -> None:
        """Delete a user with all permissions."""
        self.evaluate(f'rabbit_auth_backend_internal:delete_user(<<"{name}">>, <<"tests">>)')

    def add_user(self, name: str, password: str, *, tags: str = "") -> None:
        """Make a user without any permission."""
        self.define({"users": [{"name": name, "password": password, "tags": tags}]})

    def allow(
        self,
        user: str,
        *,
        vhost: str,
        configure: str = ".*",
        write: str = ".*",
        read: str = ".*",
        topics: dict[str, tuple[str, str]] | None = None,
    ) -> None:
        """Set a user's permissions (regular expressions) in a virtual host.

        `topics`: for each topic exchange the routing keys that may be written and read.
        """
        where = {"user": user, "vhost": vhost}
        rights = where | {"configure": configure, "write": write, "read": read}
        self.define(
            {
                "permissions": [rights],
                "topic_permissions": [
                    where | {"exchange": exchange, "write": keys_out, "read": keys_in}
                    for exchange, (keys_out, keys_in) in (topics or {}).items()
                ],
            }
        )

    def raise_alarm(self) -> None:
        """Behave as if memory were short: connections that publish are blocked."""
        self.evaluate("rabbit_alarm:set_alarm({{resource_limit, memory, node()}, []})")

    def clear_alarm(self) -> None:
        """End what `raise_alarm` began."""
        self.evaluate("rabbit_alarm:clear_alarm({resource_limit, memory, node()})")


@functools.cache
def shared_node() -> RabbitMQNode:
    """The node that all tests of this process share; started on first use, ended at exit."""
    # A cache and not a session fixture: a fixture imported into two modules would be two nodes.
    node = RabbitMQNode(management=True)
    atexit.register(node.stop)
    return node


@pytest.fixture
def rabbitmq() -> RabbitMQNode:
    """The shared node, running and without alarms however the last test left it."""
    node = shared_node()
    if not node.running:
        node.start()
    node.clear_alarm()
    return node


@pytest.fixture
def rabbitmq_vhost(rabbitmq: RabbitMQNode) -> Iterator[str]:
    """A fresh virtual host on the shared node, deleted afterwards."""
    name = f"test-{secrets.token_hex(4)}"
    rabbitmq.add_vhost(name)
    yield name
    if rabbitmq.running:
        rabbitmq.delete_vhost(name)


def main() -> None:
    """Run a node until Ctrl-C or SIGTERM."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--management", action="store_true", help="with the console")
    node = RabbitMQNode(management=parser.parse_args().management)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        node.start()
        print(node.url(), flush=True)
        if node.management_port:
            print(node.management_url, flush=True)
        signal.pause()
    except KeyboardInterrupt:
        pass
    finally:
        node.stop()


if __name__ == "__main__":
    main()
