"""From where settings come: defaults, then a TOML file, then the environment, then flags."""

import argparse
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, NamedTuple

from roomline.config.kinds import Refused, switch
from roomline.config.settings import DECLARATIONS, GROUPS, Declaration, Settings
from roomline.config.values import redact
from roomline.wire import shorten

CONFIG_VARIABLE: Final = "ROOMLINE_CONFIG"
_PREFIX: Final = "ROOMLINE_"
_FILE: Final = "_file"
"""What stands behind the name of a secret to name a file that has it."""

NAMES: Final = {declared.name: declared for declared in DECLARATIONS.values()} | {
    declared.name + _FILE: declared for declared in DECLARATIONS.values() if declared.secret
}
"""Every name that a TOML key or, in capitals, a variable may have, with its setting."""


class SettingsError(Exception):
    """Settings that are not accepted. Every one of `problems` is a sentence that names the
    setting, where its value came from, the value unless it is secret, and what is accepted."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class _Source(NamedTuple):
    """Values by name, before they are parsed. `origin` says where the one of a name stands."""

    values: Mapping[str, Any]
    origin: Callable[[str], str]


class _Given(NamedTuple):
    """The value that counts for a setting, before it is parsed."""

    declared: Declaration
    value: Any
    origin: str


def add_flags(parser: argparse.ArgumentParser, groups: Collection[str] = GROUPS) -> None:
    """Add ``--config`` and a flag for every setting of these groups; for a secret one, a flag
    that names the file where it stands."""
    parser.add_argument(
        "--config", metavar="PATH", help=f"a settings file, TOML ({CONFIG_VARIABLE})"
    )
    for group in groups:
        section = parser.add_argument_group(group)
        for name, declared in NAMES.items():
            if declared.group == group and (name != declared.name or not declared.secret):
                section.add_argument("--" + name.replace("_", "-"), **_flag(name, declared))


def _flag(name: str, declared: Declaration) -> dict[str, Any]:
    flag: dict[str, Any] = {"default": argparse.SUPPRESS, "metavar": declared.kind.metavar}
    default = declared.kind.show(declared.default) or "empty"
    notes = f"default: {default}; {_PREFIX}{name.upper()}"
    text = declared.help
    if declared.secret:
        flag["metavar"] = "PATH"
        text = f"a file with {declared.name}: {text}"
        notes = f"{_PREFIX}{name.upper()}, or {_PREFIX}{declared.name.upper()} without a file"
    elif declared.kind is switch:
        flag["action"] = argparse.BooleanOptionalAction
        del flag["metavar"]
    return flag | {"help": f"{text} ({notes})".replace("%", "%%")}


def load(flags: Mapping[str, Any], environment: Mapping[str, str]) -> Settings:
    """The settings of a process; raises `SettingsError` with everything that is wrong.

    `flags` is what `argparse` found, by name; names that are not a setting's are not looked at.
    `environment` is `os.environ`.
    """
    problems: list[str] = []
    given: dict[str, _Given] = {}
    path = flags.get("config") or environment.get(CONFIG_VARIABLE)
    for source in (
        _file(path, problems) if path else None,
        _environment(environment),
        _flags(flags),
    ):
        if source is not None:
            given |= _collect(source, problems)
    parsed = {}
    for name, item in given.items():
        try:
            parsed[name] = item.declared.kind.parse(item.value)
        except ValueError as error:
            problems.append(_refusal(item, error))
    problems.extend(_contradictions(Settings(**parsed), given))
    if problems:
        raise SettingsError(problems)
    return Settings(**parsed)


def _file(path: str, problems: list[str]) -> _Source | None:
    text = _read(path, "the settings file", problems)
    if text is None:
        return None
    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        problems.append(f"the settings file {shorten(path, 200)} is not TOML: {error}")
        return None
    return _Source(table, lambda name: f"{name} in {path}")


def _environment(environment: Mapping[str, str]) -> _Source:
    values = {
        variable.removeprefix(_PREFIX).lower(): value
        for variable, value in environment.items()
        if variable.startswith(_PREFIX) and variable != CONFIG_VARIABLE
    }
    return _Source(values, lambda name: f"the environment variable {_PREFIX}{name.upper()}")


def _flags(flags: Mapping[str, Any]) -> _Source:
    values = {name: value for name, value in flags.items() if name in NAMES}
    return _Source(values, lambda name: f"the flag --{name.replace('_', '-')}")


def _collect(source: _Source, problems: list[str]) -> dict[str, _Given]:
    found: dict[str, _Given] = {}
    for name, value in source.values.items():
        origin = source.origin(name)
        declared = NAMES.get(name)
        if declared is None:
            problems.append(f"{origin} is not a setting{_near(name, source)}")
            continue
        if declared.name in found:
            problems.append(
                f"{found[declared.name].origin} and {origin} are both given; accepted is one"
            )
            continue
        if name != declared.name:
            value = _read(value, origin, problems)
            if value is None:
                continue
        found[declared.name] = _Given(declared, value, origin)
    return found


def _near(name: str, source: _Source) -> str:
    near = get_close_matches(name, NAMES, n=3)
    return "; near to it: " + ", ".join(source.origin(match) for match in near) if near else ""


def _read(path: Any, what: str, problems: list[str]) -> str | None:
    try:
        return Path(path).read_text("utf-8")
    except OSError as error:
        problems.append(f"{what}: {shorten(path, 200)} cannot be read: {error.strerror}")
    except (ValueError, TypeError):
        problems.append(f"{what}: {shorten(path, 200)} is not the path of a file of UTF-8 text")
    return None


def _refusal(item: _Given, error: ValueError) -> str:
    name, kind = item.declared.name, item.declared.kind
    value = "(hidden)" if item.declared.secret else shorten(kind.mask(item.value), 200)
    detail = f": {error}" if isinstance(error, Refused) else ""
    return f"{name}, from {item.origin}, is {value}{detail}; accepted is {kind.accepted}"


def _contradictions(settings: Settings, given: Mapping[str, _Given]) -> Iterator[str]:
    """What is wrong between settings that are each accepted."""
    amqps = settings.broker.startswith("amqps:")
    for name in ("broker_ca", "broker_certificate", "broker_key"):
        if getattr(settings, name) and not amqps:
            yield (
                f"{name}, from {given[name].origin}, is for amqps, but broker is"
                f" {redact(settings.broker)}; accepted is one of the two"
            )
    if bool(settings.broker_certificate) != bool(settings.broker_key):
        name = "broker_certificate" if settings.broker_certificate else "broker_key"
        yield (
            f"{name}, from {given[name].origin}, is alone; accepted are broker_certificate and"
            " broker_key together, or neither"
        )
    if bool(settings.cluster_address) != bool(settings.cluster_key):
        name = "cluster_address" if settings.cluster_address else "cluster_key"
        yield (
            f"{name}, from {given[name].origin}, is alone; accepted are cluster_address and"
            " cluster_key together, or neither"
        )
    if settings.cluster_address and settings.broker.startswith("embedded:"):
        yield (
            f"cluster_address, from {given['cluster_address'].origin}, is for several machines,"
            f" but broker is {settings.broker}, a file of one machine; accepted is a RabbitMQ"
        )
    first_ports = {
        "internal_port": settings.internal_port,
        "cluster_address": int(settings.cluster_address.rpartition(":")[2] or 0),
    }
    for name, port in first_ports.items():
        if port and port + settings.processes - 1 > 65535:
            origin = given[name].origin if name in given else "its default"
            yield (
                f"{name}, from {origin}, counts up from port {port} for {settings.processes}"
                " processes; accepted are ports up to 65535"
            )
