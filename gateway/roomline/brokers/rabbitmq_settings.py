"""How to reach RabbitMQ and how to behave towards it, as validated values."""

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from roomline.wire import InvalidName, check_room, shorten

_PORTS = {"amqp": 5672, "amqps": 5671}
_FORM = "amqp://user:password@host:port/vhost, or amqps:// for TLS"


class InvalidSetting(ValueError):
    """A setting that cannot be used; the text says what is accepted and tells no password."""


class Address(NamedTuple):
    """The parts of an AMQP URI (https://www.rabbitmq.com/docs/uri-spec)."""

    tls: bool
    host: str
    port: int
    user: str
    password: str
    vhost: str

    def __repr__(self) -> str:
        scheme = "amqps" if self.tls else "amqp"
        return f"{scheme}://{self.user}@{self.host}:{self.port} virtual host {self.vhost!r}"


def parse_address(url: str) -> Address:
    """The address that a URL states; raises `InvalidSetting`.

    Without user and password it is guest, without a port the usual one, without a path the
    virtual host ``/``. A slash in the name of a virtual host is written ``%2F``.
    """
    if "?" in url or "#" in url:
        raise InvalidSetting(
            "the RabbitMQ URL has a part after ? or #; options are settings of their own, and in"
            " a password # is written %23 and ? %3F"
        )
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise InvalidSetting(f"the RabbitMQ URL cannot be read; accepted is {_FORM}") from None
    if parts.scheme not in _PORTS:
        raise InvalidSetting(f"the RabbitMQ URL does not begin with amqp:// or amqps://: {_FORM}")
    if not parts.hostname:
        raise InvalidSetting(f"the RabbitMQ URL names no host; accepted is {_FORM}")
    if port == 0:
        raise InvalidSetting("the RabbitMQ URL states port 0; accepted is 1 to 65535")
    vhost = parts.path.removeprefix("/")
    if "/" in vhost:
        raise InvalidSetting(
            f"the RabbitMQ URL's path {shorten(parts.path)} is not one name; a slash in the name"
            " of a virtual host is written %2F"
        )
    user = unquote(parts.username) if parts.username is not None else "guest"
    password = unquote(parts.password) if parts.password is not None else "guest"
    if not user:
        raise InvalidSetting(f"the RabbitMQ URL has an empty user name; accepted is {_FORM}")
    return Address(
        tls=parts.scheme == "amqps",
        host=parts.hostname,
        port=port or _PORTS[parts.scheme],
        user=user,
        password=password,
        vhost=unquote(vhost) or "/",
    )


@dataclass(frozen=True, kw_only=True)
class RabbitMQSettings:
    """What a `RabbitMQBroker` is made from; raises `InvalidSetting`. Times are in seconds."""

    url: str = field(repr=False)
    namespaces: tuple[str, ...]
    """Rooms whose first word is one of these go to the log."""
    ca_file: Path | None = None
    """Certificates (PEM) that the server's is checked against; None: those of the system."""
    certificate_file: Path | None = None
    key_file: Path | None = None
    """The client's certificate and key (PEM), if RabbitMQ asks for them."""
    max_age: int = 7 * 86400
    max_bytes: int = 500_000_000
    """What the log keeps, in seconds and bytes; reading all of it is what a start takes."""
    publish_timeout: float = 10.0
    """After so long a publication without an answer is unconfirmed, or unavailable if unsent."""
    connect_timeout: float = 5.0
    heartbeat: int = 10
    """A connection silent for this long counts as lost."""
    max_unconfirmed: int = 500
    max_waiting: int = 2000
    """Publications sent without an answer, and those that wait to be sent; more are refused."""
    prefetch: int = 1000
    """Log entries that RabbitMQ sends ahead of being acknowledged."""
    silence: float = 3.0
    """After so long without a word a log counts as empty."""
    max_backoff: float = 5.0
    """The longest wait between two attempts to connect."""

    def __post_init__(self) -> None:
        address = parse_address(self.url)
        if not self.namespaces:
            raise InvalidSetting("no namespace is given; at least one must go to the log")
        for name in self.namespaces:
            try:
                check_room(name)
            except InvalidName:
                name = ""
            if not name or "." in name:
                raise InvalidSetting(
                    f"the namespaces {shorten(self.namespaces)} are not all single words of"
                    " A-Z a-z 0-9 _ -"
                )
        if not address.tls and (self.ca_file or self.certificate_file or self.key_file):
            raise InvalidSetting("TLS files are given but the RabbitMQ URL is not amqps://")
        if (self.certificate_file is None) != (self.key_file is None):
            raise InvalidSetting("a client certificate and its key must be given together")

    @property
    def address(self) -> Address:
        """Where RabbitMQ is, and as whom to log in."""
        return parse_address(self.url)

    def tls_context(self) -> ssl.SSLContext | None:
        """How to speak TLS, the server's host name verified; None if the URL is not amqps.

        Reads the files; raises `InvalidSetting` if one cannot be used.
        """
        if not self.address.tls:
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise InvalidSetting(f"{self.ca_file} is no file of CA certificates: {error}") from None
        if self.certificate_file is not None:
            try:
                # An empty password: without one OpenSSL would ask at the terminal.
                context.load_cert_chain(self.certificate_file, self.key_file, password="")
            except (OSError, ssl.SSLError) as error:
                raise InvalidSetting(
                    f"{self.certificate_file} and {self.key_file} are no client certificate and"
                    f" its unencrypted key: {error}"
                ) from None
        return context
