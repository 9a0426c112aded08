"""RabbitMQ as the gateway's own user sees it, over AMQP.

Nothing is changed and nothing published. What the user may write is learnt from messages that
RabbitMQ has to refuse after it has looked at the rights: their expiry is no number. What would be
taken is learnt from messages to an exchange that is not there: their size is looked at first.
"""

import asyncio
import contextlib
import ipaddress
import re
import secrets
import socket
import ssl
import time
from collections.abc import AsyncIterator, Sequence
from typing import Final

from roomline.brokers import topology
from roomline.brokers.links import Broken, first_of
from roomline.brokers.pikalink import PikaLink, connect
from roomline.brokers.rabbitmq_settings import RabbitMQSettings
from roomline.brokers.topology import Binding, Item, Refusal
from roomline.cli.doctor.findings import Finding, ok, problem, warning
from roomline.requests import NODE_QUEUE_PREFIX, NODES_EXCHANGE, REQUESTS_EXCHANGE
from roomline.revocations import (
    USER_REVOCATIONS,
)
from roomline.wire import (
    CONTROL_STREAM,
    MAX_BODY_BYTES,
    MAX_ROOM_BYTES,
    ROOMS_EXCHANGE,
    ROOMS_STREAM,
)

_SECONDS: Final = 5.0
_NOWHERE: Final = "roomline.doctor"
"""An exchange and the last word of a room that nobody has."""
_EXPIRY_DAYS: Final = 14
_NO_EXPIRATION: Final = {"expiration": "none of RabbitMQ's business"}


class _Blocked(Exception):
    """RabbitMQ does not answer publishers."""


class RabbitMQExamination:
    """`run` gives the findings. `requests`: whether the gateway offers them; `signals`: whether it
    looks for other machines."""

    def __init__(self, settings: RabbitMQSettings, *, requests: bool, signals: bool) -> None:
        """Reads the TLS files, if any; raises `InvalidSetting` if they cannot be used."""
        self._settings = settings
        self._tls = settings.tls_context()
        self._requests = requests
        self._signals = signals
        self._user = settings.address.user
        rooms = topology.rooms_topology(settings.namespaces, settings.max_age, settings.max_bytes)
        # Both logs hang on one exchange, which is to be looked at once.
        self._items = tuple(dict.fromkeys((*rooms, *topology.control_topology())))
        if requests:
            self._items += topology.requests_topology()
        if signals:
            self._items += topology.signals_topology()

    async def run(self) -> AsyncIterator[Finding]:
        """Everything that can be seen; little, if RabbitMQ cannot be reached."""
        try:
            link = await self._connect()
        except Broken as broken:
            yield self._unreachable(broken)
            return
        try:
            yield ok("broker", f"{link.server} lets {self._user} in: {self._settings.address}")
            with contextlib.suppress(OSError):  # what it is, is said of the connection above
                yield await asyncio.to_thread(self._encryption)
            if (found := _version(link.server)) is not None:
                yield found
            async for found in self._topology(link):
                yield found
            async for found in self._reading(link):
                yield found
        except Broken as broken:
            yield self._unreachable(broken)
        finally:
            await link.close()
        # Another one, because under an alarm RabbitMQ does not listen to one that publishes.
        try:
            link = await self._connect()
            try:
                async for found in self._publishing(link):
                    yield found
            finally:
                await link.close()
        except _Blocked as blocked:
            yield problem(
                "broker",
                f"RabbitMQ takes no publications: {blocked}. What this user may publish was"
                " not seen",
                "free memory or disk on its machine; a policy with a shorter max-age or"
                " max-length-bytes on rooms.log counts at once",
            )
        except Broken as broken:
            yield self._unreachable(broken)

    async def _connect(self) -> PikaLink:
        return await connect(self._settings, self._tls, (), "doctor")

    def _unreachable(self, broken: Broken) -> Finding:
        text, address = str(broken), self._settings.address
        if "certificate" in text:
            advice = "let broker name the host as its certificate does, and broker_ca its authority"
        elif "user name or the password" in text:
            advice = (
                f"compare user {self._user} and the password in broker with RabbitMQ's users;"
                " guest may log in from RabbitMQ's own machine only"
            )
        elif "virtual host" in text:
            advice = (
                f"make the virtual host {address.vhost}, or give {self._user} permissions in it"
            )
        else:
            advice = (
                f"look whether RabbitMQ runs on {address.host} and listens on port {address.port},"
                f" for {'TLS' if address.tls else 'plain AMQP'}, and what is in between"
            )
        return problem("broker", f"{text} ({address})", advice)

    # Encryption.

    def _encryption(self) -> Finding:
        address = self._settings.address
        if not address.tls:
            if _is_near(address.host):
                return ok("broker", "without TLS, and nothing leaves this machine")
            return warning(
                "broker",
                f"the password and all publications travel to {address.host} in clear",
                "use amqps:// unless the network between them is yours alone",
            )
        assert self._tls is not None
        with (
            socket.create_connection((address.host, address.port), _SECONDS) as plain,
            self._tls.wrap_socket(plain, server_hostname=address.host) as encrypted,
        ):
            certificate = encrypted.getpeercert() or {}
            version = encrypted.version()
        ends = ssl.cert_time_to_seconds(str(certificate["notAfter"]))
        days = (ends - time.time()) / 86400
        if days < _EXPIRY_DAYS:
            return warning(
                "broker",
                f"RabbitMQ's certificate expires in {days:.0f} days, and is refused after that",
                "renew it",
            )
        return ok("broker", f"{version}, the certificate is good for {days:.0f} more days")

    # What is there.

    async def _topology(self, link: PikaLink) -> AsyncIterator[Finding]:
        seen, unseen = [], []
        for item in self._items:
            if isinstance(item, Binding):
                continue
            refusal = await _attempt(link, item, passive=True)
            if refusal is not None:
                yield await self._missing(link, item, refusal)
                continue
            # It is there: declaring it changes nothing, and compares.
            refusal = await _attempt(link, item, passive=False)
            if refusal is None:
                seen.append(item)
            elif refusal.code == topology.NOT_PERMITTED:
                unseen.append(item)
            else:
                yield _another_shape(item, refusal)
        if seen:
            yield ok("topology", f"there, and as the gateway wants it: {_list(seen)}")
        if unseen:
            yield ok(
                "topology",
                f"there, in a shape that {self._user} may not compare: {_list(unseen)}",
            )

    async def _missing(self, link: PikaLink, item: Item, refusal: Refusal) -> Finding:
        if "down or inaccessible" in refusal.text:
            return problem(
                "topology",
                f"the {item} is not up: {refusal.text}",
                "start the RabbitMQ node that holds it; after a loss of its disk delete the stream",
            )
        if refusal.code != topology.NOT_FOUND:
            return problem("topology", f"the {item} cannot be used: {refusal.text}", "see there")
        if await _may_declare(link, item):
            return warning(
                "topology",
                f"the {item} is missing",
                "if no gateway with these settings has started yet, nothing: it makes it",
            )
        return problem(
            "topology",
            f"the {item} is missing, and {self._user} may not make it",
            "load what roomline definitions prints, or let the user configure it",
        )

    # What the user may.

    async def _reading(self, link: PikaLink) -> AsyncIterator[Finding]:
        for stream in (ROOMS_STREAM, CONTROL_STREAM):
            channel = await link.channel()
            try:
                await channel.call("basic_qos", prefetch_count=1)
                await channel.read(stream, "last", lambda *_: None)
            except Broken as broken:
                if broken.code == topology.NOT_PERMITTED:
                    yield self._may_not(f"read {stream}", broken)
                elif broken.code not in topology.REFUSALS:
                    raise
                continue
            yield ok("rights", f"{self._user} may read {stream}")
            await channel.close()
        for exchange, what, wanted in (
            (NODES_EXCHANGE, "answers to requests", self._requests),
            (topology.SIGNALS_EXCHANGE, "signals of other nodes", self._signals),
        ):
            if wanted and (found := await self._own_queue(link, exchange, what)) is not None:
                yield found

    async def _own_queue(self, link: PikaLink, exchange: str, what: str) -> Finding | None:
        queue = NODE_QUEUE_PREFIX + secrets.token_hex(8)
        channel = await link.channel()
        try:
            await channel.call("queue_declare", queue=queue, exclusive=True)
            await channel.call("queue_bind", queue=queue, exchange=exchange, routing_key=queue)
            await channel.listen(queue, lambda *_: None)
        except Broken as broken:
            if broken.code not in topology.REFUSALS:
                raise
            if broken.code == topology.NOT_FOUND:
                return None  # which was told of by now
            return self._may_not(f"have a queue of its own for {what}", broken)
        return ok("rights", f"{self._user} may have a queue of its own for {what}")

    async def _publishing(self, link: PikaLink) -> AsyncIterator[Finding]:
        blocked: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        link.on_blocked(
            lambda why: None if blocked.done() else blocked.set_result(why), lambda: None
        )
        async for finding in self._writing(link, blocked):
            yield finding
        async for finding in self._sizes(link, blocked):
            yield finding

    async def _writing(
        self, link: PikaLink, blocked: asyncio.Future[str]
    ) -> AsyncIterator[Finding]:
        may = []
        for namespace in self._settings.namespaces:
            refusal = await _publish(link, blocked, ROOMS_EXCHANGE, f"{namespace}.{_NOWHERE}")
            if _permitted(refusal):
                may.append(namespace)
            elif refusal is not None and refusal.code == topology.NOT_PERMITTED:
                yield self._may_not(f"publish into rooms of {namespace}", refusal)
        if may:
            yield ok("rights", f"{self._user} may publish into rooms of {', '.join(may)}")
        for exchange, what, wanted in (
            (REQUESTS_EXCHANGE, "send requests", self._requests),
            (topology.SIGNALS_EXCHANGE, "tell other nodes of this one", self._signals),
        ):
            if not wanted:
                continue
            refusal = await _publish(link, blocked, exchange, _NOWHERE)
            if refusal is not None and refusal.code == topology.NOT_PERMITTED:
                yield self._may_not(what, refusal)
            elif _permitted(refusal):
                yield ok("rights", f"{self._user} may {what}")
        too_long = f"{next(iter(self._settings.namespaces))}.".ljust(MAX_ROOM_BYTES + 1, "x")
        for key, what, why in (
            (USER_REVOCATIONS, "revoke users and rooms", "a gateway never has to"),
            (
                too_long,
                f"write keys of more than {MAX_ROOM_BYTES} bytes",
                "no room is called so, and with more than 255 readers stumble",
            ),
        ):
            if _permitted(await _publish(link, blocked, ROOMS_EXCHANGE, key)):
                yield warning(
                    "rights",
                    f"{self._user} may {what}: {why}",
                    "give it topic permissions, as in what roomline definitions prints",
                )

    async def _sizes(self, link: PikaLink, blocked: asyncio.Future[str]) -> AsyncIterator[Finding]:
        for size, wanted in ((MAX_BODY_BYTES, True), (MAX_BODY_BYTES + 1, False)):
            refusal = await _publish(link, blocked, _NOWHERE, "", bytes(size))
            text = refusal.text if refusal else ""
            limit = re.search(r"larger than (?:configured )?max size (\d+)", text)
            if wanted and limit:
                yield problem(
                    "limits",
                    f"RabbitMQ takes at most {limit[1]} bytes, and publications may have"
                    f" {MAX_BODY_BYTES}",
                    f"set max_message_size = {MAX_BODY_BYTES} in rabbitmq.conf",
                )
                return
            if not wanted and not limit:
                yield warning(
                    "limits",
                    f"RabbitMQ takes more than {MAX_BODY_BYTES} bytes at once: whoever may"
                    " publish can fill the log with them",
                    f"set max_message_size = {MAX_BODY_BYTES} in rabbitmq.conf",
                )
                return
        yield ok("limits", f"RabbitMQ takes publications of up to {MAX_BODY_BYTES} bytes")

    def _may_not(self, what: str, refusal: Refusal | Broken) -> Finding:
        text = refusal.text if isinstance(refusal, Refusal) else str(refusal)
        return problem(
            "rights",
            f"{self._user} may not {what}: {text}",
            "give it the rights of the user gateway in what roomline definitions prints",
        )


def _version(server: str) -> Finding | None:
    numbers = re.search(r"(\d+)\.(\d+)", server)
    if numbers is None or (3, 10) <= (version := (int(numbers[1]), int(numbers[2]))) < (4, 0):
        return None
    if version >= (4, 2):
        return None
    if version < (3, 10):
        return problem("broker", f"{server} is too old: streams need 3.10", "upgrade RabbitMQ")
    return warning(
        "broker",
        f"{server} cannot import topic permissions from definitions",
        "upgrade to RabbitMQ 4.2 or later, or give the permissions by rabbitmqctl",
    )


def _another_shape(item: Item, refusal: Refusal) -> Finding:
    if "alternate-exchange" in refusal.text:
        return problem(
            "topology",
            f"the {item} has an alternate exchange: what no log takes then counts as published,"
            f" and is lost ({refusal.text})",
            "delete the exchange and let a gateway, or the definitions, make it anew",
        )
    return problem(
        "topology",
        f"the {item} is there in another shape: {refusal.text}",
        "use the same settings on every node; the retention of a stream that is there is changed"
        " by a policy",
    )


async def _attempt(link: PikaLink, item: Item, *, passive: bool) -> Refusal | None:
    method, arguments = item.call(passive)
    return await _call(link, method, arguments)


async def _may_declare(link: PikaLink, item: Item) -> bool:
    """Whether a thing that is missing could be made: with an argument of a wrong type it is not,
    and RabbitMQ says so only to those who might."""
    method, arguments = item.call(passive=False)
    wrong = "alternate-exchange" if method == "exchange_declare" else "x-dead-letter-exchange"
    refusal = await _call(link, method, arguments | {"arguments": {wrong: 1}})
    return refusal is not None and refusal.code == topology.PRECONDITION_FAILED


async def _call(link: PikaLink, method: str, arguments: dict[str, object]) -> Refusal | None:
    channel = await link.channel()
    try:
        await channel.call(method, **arguments)
    except Broken as broken:
        if broken.code not in topology.REFUSALS:
            raise
        return Refusal(broken.code, str(broken))
    await channel.close()
    return None


async def _publish(
    link: PikaLink, blocked: asyncio.Future[str], exchange: str, key: str, body: bytes = b""
) -> Refusal | None:
    """What RabbitMQ has against a message that it cannot take; raises `_Blocked`, `Broken`."""
    taken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    try:
        async with asyncio.timeout(_SECONDS):
            channel = await link.channel()
            await channel.confirm(
                lambda *_: None if taken.done() else taken.set_result(None), lambda *_: None
            )
    except TimeoutError:
        raise _Blocked("it does not answer") from None
    channel.publish(exchange, key, body, dict(_NO_EXPIRATION))
    await first_of(taken, channel.lost, blocked, patience=_SECONDS)
    if channel.lost.done():
        broken = channel.lost.result()
        if link.lost.done():
            raise broken
        return Refusal(broken.code, str(broken))
    if not taken.done():
        raise _Blocked(blocked.result() if blocked.done() else "it does not answer")
    await channel.close()
    return None


def _permitted(refusal: Refusal | None) -> bool:
    """Whether it was the expiry that was refused, which is looked at after the rights."""
    return refusal is not None and refusal.code == topology.PRECONDITION_FAILED


def _list(items: Sequence[Item]) -> str:
    return ", ".join(map(str, items))


def _is_near(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
