"""RabbitMQ as its console's HTTP API shows it: what cannot be seen over AMQP. Only looks."""

import asyncio
import base64
import json
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit

from roomline.brokers import topology
from roomline.brokers.rabbitmq_settings import RabbitMQSettings
from roomline.brokers.topology import Binding, Exchange
from roomline.cli.doctor.findings import Finding, ok, problem, warning
from roomline.wire import CONTROL_STREAM, ROOMS_EXCHANGE, ROOMS_STREAM

_SECONDS: Final = 5.0
_NOT_FOUND: Final = 404
_RETENTION: Final = ("max-age", "max-length-bytes")


class _Unseen(Exception):
    """The console does not show something; the text says why."""


@dataclass(frozen=True)
class Console:
    """Where the console is, and as whom to log in."""

    url: str
    user: str
    password: str = field(repr=False)

    @classmethod
    def from_file(cls, path: str) -> "Console":
        """From a file with ``http://USER:PASSWORD@HOST:PORT``; raises `OSError`, `ValueError`."""
        parts = urlsplit(Path(path).read_text("utf-8").strip())
        if parts.scheme not in ("http", "https") or not parts.hostname or not parts.username:
            raise ValueError("it is not of the form http://USER:PASSWORD@HOST:PORT")
        place = parts.netloc.rpartition("@")[2]
        return cls(
            f"{parts.scheme}://{place}{parts.path.rstrip('/')}",
            unquote(parts.username),
            unquote(parts.password or ""),
        )

    def get(self, *path: str) -> Any:
        """What the API says, None if there is no such thing; raises `_Unseen`."""
        url = "/".join([self.url, "api", *(quote(part, "") for part in path)])
        login = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        request = urllib.request.Request(url, headers={"Authorization": f"Basic {login}"})  # noqa: S310 - the operator's own
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                if error.code == _NOT_FOUND:
                    return None
                raise _Unseen(f"{path[0]}: {error.code} {error.reason}") from None
        except (OSError, ValueError, HTTPException) as error:
            raise _Unseen(f"{path[0]}: {error}") from None


async def look_at_console(
    console: Console, settings: RabbitMQSettings, *, requests: bool
) -> AsyncIterator[Finding]:
    """What is bound to what, and which policies count."""
    look = _Look(console, settings, requests=requests)
    for part in (look.nodes, look.exchange, look.bindings, look.logs):
        try:
            for finding in await asyncio.to_thread(lambda part=part: list(part())):  # type: ignore[misc]
                yield finding
        except _Unseen as unseen:
            yield warning(
                "console",
                f"{console.url} does not show {console.user} everything: {unseen}",
                "check name and password, of a user with the tag monitoring and permissions in the"
                " virtual host, such as monitor in what roomline definitions prints",
            )
            return


class _Look:
    def __init__(self, console: Console, settings: RabbitMQSettings, *, requests: bool) -> None:
        self._console = console
        self._vhost = settings.address.vhost
        items = (
            *topology.rooms_topology(settings.namespaces, settings.max_age, settings.max_bytes),
            *topology.control_topology(),
            *(topology.requests_topology() if requests else ()),
        )
        self._exchanges = {item.name for item in items if isinstance(item, Exchange)}
        self._bindings = {
            (item.exchange, item.stream, item.key) for item in items if isinstance(item, Binding)
        }

    def nodes(self) -> Iterator[Finding]:
        """Alarms and partitions of RabbitMQ's nodes."""
        nodes = self._console.get("nodes")
        for node in nodes:
            name = node["name"]
            if not node.get("running", True):
                yield problem("broker", f"RabbitMQ's node {name} is down", "start it")
            for alarm, what in (("mem_alarm", "memory"), ("disk_free_alarm", "disk")):
                if node.get(alarm):
                    yield problem(
                        "broker",
                        f"RabbitMQ's node {name} is short of {what} and takes no publications",
                        f"free {what}, or give it more",
                    )
            if node.get("partitions"):
                yield problem(
                    "broker",
                    f"RabbitMQ's node {name} is cut off from {', '.join(node['partitions'])}",
                    "mend the network, then restart the nodes that RabbitMQ's manual says",
                )
        running = sum(node.get("running", True) for node in nodes)
        yield ok("broker", f"RabbitMQ's console shows {running} running nodes")

    def exchange(self) -> Iterator[Finding]:
        """An alternate exchange of the rooms' exchange, by argument or by policy."""
        exchange = self._console.get("exchanges", self._vhost, ROOMS_EXCHANGE)
        if exchange is None:
            return  # which was told of by now
        alternate: str | None = exchange["arguments"].get("alternate-exchange", "")
        policy, by = exchange.get("policy"), "by an argument"
        if policy and not alternate:
            alternate, by = self._alternate_by(policy), f"by the policy {policy}"
        if alternate is None:
            yield warning(
                "topology",
                f"the policy {policy} matches the exchange {ROOMS_EXCHANGE}, and"
                f" {self._console.user} may not see what it sets",
                "look whether it sets an alternate exchange, in the console under Admin, or take a"
                " user with the tag policymaker",
            )
        elif alternate:
            yield problem(
                "topology",
                f"the exchange {ROOMS_EXCHANGE} has the alternate exchange {alternate}, {by}: what"
                " no log takes counts as published, and is lost",
                "delete the policy, or the exchange, which gateways or the definitions make anew",
            )
        else:
            yield ok("topology", f"the exchange {ROOMS_EXCHANGE} has no alternate exchange")

    def _alternate_by(self, policy: str) -> str | None:
        """The alternate exchange that a policy sets, "" if none, None if it cannot be seen: only
        of queues does the console show everybody what policies set."""
        try:
            found = self._console.get("policies", self._vhost, policy)
        except _Unseen:
            return None
        return str(found["definition"].get("alternate-exchange", "")) if found else ""

    def bindings(self) -> Iterator[Finding]:
        """Missing ones, and those that nobody here knows."""
        there = {
            (found["source"], found["destination"], found["routing_key"])
            for exchange in sorted(self._exchanges)
            for found in self._console.get("exchanges", self._vhost, exchange, "bindings", "source")
            or ()
        }
        # Of a stream that is missing was told by now, and it is bound when it is made.
        missing = {
            binding
            for binding in self._bindings - there
            if self._console.get("queues", self._vhost, binding[1]) is not None
        }
        for exchange, stream, key in sorted(missing):
            yield problem(
                "topology",
                f"nothing binds {key!r} of exchange {exchange} to {stream}: what is published"
                " there comes back",
                "start a gateway whose user may bind, or load what roomline definitions prints",
            )
        for exchange, destination, key in sorted(there - self._bindings):
            if exchange != ROOMS_EXCHANGE:
                continue  # the nodes' own queues of answers among them
            if destination in (ROOMS_STREAM, CONTROL_STREAM):
                yield warning(
                    "topology",
                    f"{destination} also takes {key!r}, which is no namespace of these settings:"
                    " this gateway drops it",
                    "give all gateways the same namespaces, or unbind it",
                )
            else:
                yield warning(
                    "topology",
                    f"{destination} is bound to {exchange} with {key!r} and is not Roomline's: it"
                    " gets everybody's publications, and counts as a log for what no log takes",
                    "unbind it, unless you know whose it is",
                )
        if not missing:
            yield ok(
                "topology", f"{len(self._bindings & there)} bindings are there, none is missing"
            )

    def logs(self) -> Iterator[Finding]:
        """Replicas, and policies that change what is kept."""
        for stream in (ROOMS_STREAM, CONTROL_STREAM):
            queue = self._console.get("queues", self._vhost, stream)
            if queue is None:
                continue
            # RabbitMQ counts a few seconds after the stream was made.
            members, online = queue.get("members", []), queue.get("online", [])
            if not members:
                yield ok("topology", f"the replicas of {stream} have not been counted yet")
            elif len(online) < len(members):
                yield problem(
                    "topology",
                    f"{len(online)} of the {len(members)} replicas of {stream} are up",
                    "start the RabbitMQ nodes that hold the others",
                )
            elif len(members) == 1:
                yield warning(
                    "topology",
                    f"{stream} has one replica: with that node's disk the log is lost",
                    "on a cluster add replicas (rabbitmq-streams add_replica); on one machine"
                    " keep backups of what must stay, as Django's archive",
                )
            else:
                yield ok("topology", f"{stream} has {len(members)} replicas, all up")
            policy = queue.get("effective_policy_definition") or {}
            if kept := {name: policy[name] for name in _RETENTION if name in policy}:
                text = ", ".join(f"{name} {value}" for name, value in kept.items())
                if stream == CONTROL_STREAM:
                    yield problem(
                        "topology",
                        f"the policy {queue.get('policy')} sets {text} for {stream}:"
                        " revocations may be forgotten before the tokens that they revoke expire",
                        "let no policy match it",
                    )
                else:
                    yield ok(
                        "topology", f"a policy sets {text} for {stream}, whatever was declared"
                    )
