"""The settings' own sorts of values: files, brokers, origins, proxies, keys, namespaces."""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlsplit

from roomline.config.kinds import Kind, Refused, choice, entries, join, seconds, whole
from roomline.core.policy import Namespace, Rule
from roomline.requests import MAX_NAME_LENGTH, check_request_name
from roomline.tokens import MIN_SECRET_BYTES, Keyring
from roomline.wire import CONTROL_NAMESPACE, shorten

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

MIN_API_TOKEN: Final = 32
"""Characters of an API token: fewer could be guessed."""


def _parse_file(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError
    if value:
        try:
            with Path(value).open("rb"):
                pass
        except OSError as error:
            raise Refused(f"it cannot be read: {error.strerror}") from None
    return value


file: Final = Kind("the path of a readable file", "PATH", _parse_file)


def redact(address: str) -> str:
    """A broker's address, well formed or not, without its user and password."""
    return re.sub(r"//.*@", "//***@", address, flags=re.DOTALL)


def _parse_broker(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError
    scheme, _, rest = value.partition(":")
    if scheme == "embedded" and rest:
        return value
    if scheme not in ("amqp", "amqps"):
        raise ValueError
    try:
        parts = urlsplit(value)
        valid = parts.hostname and parts.port != 0
    except ValueError:  # its text could repeat the password
        valid = False
    if not valid or "@" in parts.path + parts.query + parts.fragment:
        raise Refused("it has no valid host and port; in user and password write / as %2F")
    return value


broker: Final = Kind(
    "embedded:PATH, or amqp://USER:PASSWORD@HOST:PORT/VHOST, or the same with amqps",
    "ADDRESS",
    _parse_broker,
    redact,
    lambda value: redact(value) if isinstance(value, str) else value,
)


def _parse_names(value: Any) -> frozenset[str]:
    names = entries(value)
    for name in names:
        if not 1 <= len(name) <= 255 or not name.isprintable():
            raise Refused(f"{shorten(name)} is not one")
    return frozenset(names)


names: Final = Kind(
    "a list of broker users", "NAME,...", _parse_names, lambda names: join(sorted(names))
)

_ORIGIN = re.compile(r"(https?)://([a-z0-9.-]+|\[[0-9a-f:.]+\])(?::(\d{1,5}))?", re.ASCII)
_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}


def _parse_origins(value: Any) -> tuple[str, ...]:
    return tuple(dict.fromkeys(map(_origin, entries(value))))


def _origin(text: str) -> str:
    """An origin as browsers write it: lower case, without the scheme's own port."""
    match = _ORIGIN.fullmatch(text.lower())
    if not match or (match[3] and not 1 <= int(match[3]) <= 65535):
        raise Refused(f"{shorten(text)} is not an origin")
    scheme, host, port = match.groups()
    return f"{scheme}://{host}" + (f":{port}" if port and port != _DEFAULT_PORTS[scheme] else "")


origins: Final = Kind(
    "a list of scheme://host or scheme://host:port, without path and wildcard",
    "ORIGIN,...",
    _parse_origins,
    lambda origins: join(origins),
)


_HOST = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*|\[[0-9a-f:.]+\]", re.ASCII)


def _parse_hosts(value: Any) -> tuple[str, ...]:
    return tuple(dict.fromkeys(map(_host, entries(value))))


def _host(text: str) -> str:
    if not _HOST.fullmatch(text.lower()):
        raise Refused(f"{shorten(text)} is not one")
    return text.lower()


hosts: Final = Kind(
    "a list of host names or addresses, without ports",
    "HOST,...",
    _parse_hosts,
    lambda hosts: join(hosts),
)


_UPSTREAM = re.compile(r"http://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):(\d{1,5})", re.ASCII)


def _parse_upstream(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError
    match = _UPSTREAM.fullmatch(value)
    if value and not (match and 1 <= int(match[2]) <= 65535):
        raise ValueError
    return value


upstream: Final = Kind(
    "an address such as http://127.0.0.1:8000, with a port and without a path",
    "ADDRESS",
    _parse_upstream,
)


_ADDRESS = re.compile(r"([A-Za-z0-9._-]{1,255}|\[[0-9A-Fa-f:.]+\]):(\d{1,5})", re.ASCII)


def _parse_address(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError
    match = _ADDRESS.fullmatch(value)
    if value and not (match and 1 <= int(match[2]) <= 65535):
        raise ValueError
    if match and match[1] in ("0.0.0.0", "[::]"):  # noqa: S104 - it is refused
        raise Refused(f"{match[1]} is every address, and others need one to come to")
    return value


address: Final = Kind("an address such as 10.0.0.5:8010, with a port", "HOST:PORT", _parse_address)


def _parse_secret(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError
    text: str = value.strip()
    if text and len(text.encode()) < MIN_SECRET_BYTES:
        raise Refused(f"it has {len(text.encode())} bytes")
    return text


secret: Final = Kind(
    f"text of {MIN_SECRET_BYTES} bytes or more",
    "SECRET",
    _parse_secret,
    lambda text: "(hidden)" if text else "",
)


def _parse_networks(value: Any) -> tuple[Network, ...]:
    networks = []
    for text in entries(value):
        try:
            networks.append(ipaddress.ip_network(text))
        except ValueError:
            raise Refused(f"{shorten(text)} is neither") from None
    return tuple(networks)


networks: Final = Kind(
    "a list of IP addresses and networks such as 10.0.0.0/8",
    "ADDRESS,...",
    _parse_networks,
    lambda networks: join(map(str, networks)),
)

_KID = re.compile(r"[A-Za-z0-9_.-]{1,100}", re.ASCII)


def _parse_keys(value: Any) -> Keyring | None:
    # Errors name an entry by its place: what looks like a kid may be a secret put there by mistake.
    if isinstance(value, Mapping):
        pairs = list(value.items())
    else:
        texts = entries(value)
        for place, entry in enumerate(texts, 1):
            if ":" not in entry:
                raise Refused(f"entry {place} has no colon")
        pairs = [(kid, secret) for kid, _, secret in (text.partition(":") for text in texts)]
    secrets: dict[str, str] = {}
    for place, (kid, secret) in enumerate(pairs, 1):
        if not _KID.fullmatch(kid):
            raise Refused(f"the kid of entry {place} is not 1 to 100 of A-Z a-z 0-9 _ . -")
        if not isinstance(secret, str) or len(secret.encode()) < MIN_SECRET_BYTES:
            raise Refused(f"the secret of entry {place} is not text of {MIN_SECRET_BYTES} bytes")
        if kid in secrets:
            raise Refused(f"the kid of entry {place} was there before")
        secrets[kid] = secret
    return Keyring(secrets) if secrets else None


keys: Final = Kind(
    f"KID:SECRET, several with commas between them, each secret of {MIN_SECRET_BYTES} bytes or"
    " more; or a table of secrets by kid",
    "KID:SECRET,...",
    _parse_keys,
    lambda keys: "(hidden)" if keys else "",
)

_API_TOKEN = re.compile(rf"[!-~]{{{MIN_API_TOKEN},1000}}", re.ASCII)


def _parse_tokens(value: Any) -> tuple[str, ...]:
    tokens = entries(value)
    for place, token in enumerate(tokens, 1):
        if not _API_TOKEN.fullmatch(token):
            raise Refused(f"token {place} is of {len(token)} characters or has others")
    return tuple(tokens)


tokens: Final = Kind(
    f"a list of tokens, each of {MIN_API_TOKEN} to 1000 visible ASCII characters",
    "TOKEN,...",
    _parse_tokens,
    lambda tokens: "(hidden)" if tokens else "",
)

_HOLDER = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)


def _parse_named_tokens(value: Any) -> Mapping[str, str]:
    # As with keys, errors name an entry by its place.
    if isinstance(value, Mapping):
        pairs = list(value.items())
    else:
        pairs = [
            (name, token) for name, _, token in (text.partition(":") for text in entries(value))
        ]
    named: dict[str, str] = {}
    for place, (name, token) in enumerate(pairs, 1):
        if not _HOLDER.fullmatch(name):
            raise Refused(f"the name of entry {place} is not 1 to 64 of A-Z a-z 0-9 _ -")
        if not isinstance(token, str) or not _API_TOKEN.fullmatch(token):
            raise Refused(f"the token of entry {place} is too short, or has other characters")
        if name in named:
            raise Refused(f"the name of entry {place} was there before")
        named[name] = token
    if len(set(named.values())) < len(named):
        raise Refused("two entries have the same token")
    return MappingProxyType(named)


named_tokens: Final = Kind(
    "NAME:TOKEN, several with commas between them, each token of"
    f" {MIN_API_TOKEN} to 1000 visible ASCII characters; or a table of tokens by name",
    "NAME:TOKEN,...",
    _parse_named_tokens,
    lambda tokens: "(hidden)" if tokens else "",
)

_RULE: Final = choice(*(rule.value for rule in Rule))
_FIELDS: Final[dict[str, Kind[Any]]] = {
    "read": Kind(_RULE.accepted, _RULE.metavar, lambda value: Rule(_RULE.parse(value))),
    "write": Kind(_RULE.accepted, _RULE.metavar, lambda value: Rule(_RULE.parse(value))),
    "history": whole(0, 10_000),
    "history_age": seconds(1, 366 * 86_400),
    "moderate": Kind(
        f"the name of a handler: words joined by dots, at most {MAX_NAME_LENGTH} characters",
        "HANDLER",
        check_request_name,
    ),
}
_NAMESPACE = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_NEW_NAMESPACE: Final = Namespace(Rule.TOKEN, Rule.TOKEN, 100, 86_400)

BUILT_IN_NAMESPACES: Final[Mapping[str, Namespace]] = MappingProxyType(
    {
        # Everybody's own room and the notices are heard without subscribing, whatever the rule.
        "user": Namespace(Rule.NONE, Rule.NONE, 100, 86_400),
        "system": Namespace(Rule.PUBLIC, Rule.NONE, 100, 7 * 86_400),
        "admin": Namespace(Rule.TOKEN, Rule.NONE, 100, 7 * 86_400),
    }
)
"""The namespaces that are there without being configured. Clients publish to none of them."""


def _parse_namespaces(value: Any) -> Mapping[str, Namespace]:
    given = value if isinstance(value, Mapping) else _namespace_texts(value)
    namespaces = dict(BUILT_IN_NAMESPACES)
    for name, rules in given.items():
        if not _NAMESPACE.fullmatch(name):
            raise Refused(f"{shorten(name)} is not a name: 1 to 64 of A-Z a-z 0-9 _ -")
        if name == CONTROL_NAMESPACE:
            raise Refused(f"{name} is reserved: it steers gateways and is never for clients")
        if not isinstance(rules, Mapping):
            raise Refused(f"{name} is {shorten(rules)}, not a table of rules")
        namespaces[name] = _namespace(name, namespaces.get(name, _NEW_NAMESPACE), rules)
    return MappingProxyType(namespaces)


def _namespace_texts(value: Any) -> dict[str, dict[str, str]]:
    """``chat:read=token,history=100;news:read=public`` as tables."""
    if not isinstance(value, str):
        raise ValueError
    tables: dict[str, dict[str, str]] = {}
    for text in filter(None, (part.strip() for part in value.split(";"))):
        name, _, rules = text.partition(":")
        if name in tables:
            raise Refused(f"{shorten(name)} is there twice")
        pairs = [rule.partition("=") for rule in entries(rules)]
        tables[name] = {key.strip(): rule.strip() for key, _, rule in pairs}
    return tables


def _namespace(name: str, base: Namespace, rules: Mapping[str, Any]) -> Namespace:
    parsed = {}
    for key, rule in rules.items():
        if key not in _FIELDS:
            raise Refused(f"{name} has {shorten(key)}, there are {', '.join(_FIELDS)}")
        try:
            parsed[key] = _FIELDS[key].parse(rule)
        except ValueError:
            accepted = _FIELDS[key].accepted
            raise Refused(f"{key} of {name} is {shorten(rule)}, not {accepted}") from None
    return replace(base, **parsed)


def _show_namespaces(namespaces: Mapping[str, Namespace]) -> str:
    return ";".join(
        f"{name}:read={rules.read.value},write={rules.write.value}"
        f",history={rules.history},history_age={rules.history_age:g}"
        + (f",moderate={rules.moderate}" if rules.moderate else "")
        for name, rules in namespaces.items()
    )


namespaces: Final = Kind(
    "NAME:read=RULE,write=RULE,history=N,history_age=SECONDS,moderate=HANDLER, several with"
    f" semicolons between them, where RULE is {_RULE.accepted}",
    "NAME:RULES;...",
    _parse_namespaces,
    _show_namespaces,
)
