"""How setting values are read and shown: numbers, sizes, durations, choices, patterns."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from roomline.wire import shorten

T = TypeVar("T")


class Refused(ValueError):
    """A value that is not accepted, with words on which part of it. Secrets are not repeated."""


@dataclass(frozen=True)
class Kind(Generic[T]):
    """How the values of a setting are read and shown.

    `accepted` completes the sentence "accepted is ...". `parse` takes the text of a flag, of an
    environment variable or of a file, or a TOML value, and raises `ValueError` or `Refused`.
    """

    accepted: str
    metavar: str
    parse: Callable[[Any], T]
    show: Callable[[T], str] = str
    mask: Callable[[Any], Any] = lambda value: value
    """What an error may show of a value that was not accepted."""


_BYTE_UNITS: Final = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_TIME_UNITS: Final = {"": 1.0, "ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", re.ASCII)
_WHOLE = re.compile(r"\d{1,18}", re.ASCII)


def _between(value: Any, kind: Any, low: float, high: float) -> Any:
    if isinstance(value, bool) or not isinstance(value, kind):
        raise ValueError
    if not low <= value <= high:  # NaN is not, either
        raise ValueError
    return value


def _quantity(text: str, units: Mapping[str, Any]) -> tuple[float, Any]:
    match = _QUANTITY.fullmatch(text.strip())
    if not match or match[2] not in units:
        raise ValueError
    return float(match[1]), units[match[2]]


def entries(value: Any) -> list[str]:
    """The entries of a TOML list, or of text with commas or line ends between them."""
    if isinstance(value, str):
        return [entry for entry in (part.strip() for part in re.split(r"[,\n]", value)) if entry]
    if isinstance(value, list) and all(isinstance(entry, str) for entry in value):
        return value
    raise ValueError


def join(texts: Iterable[str]) -> str:
    """Entries as text."""
    return ",".join(texts)


def _bytes(number: int) -> str:
    for unit, factor in reversed(_BYTE_UNITS.items()):
        if len(unit) > 1 and number >= factor and number % factor == 0:
            return f"{number // factor} {unit}"
    return str(number)


def _seconds(number: float) -> str:
    for unit, factor in (("d", 86_400), ("h", 3600), ("min", 60)):
        if number and number % factor == 0:
            return f"{number / factor:g} {unit}"
    return f"{number:g} s"


def whole(low: int, high: int) -> Kind[int]:
    """A count."""

    def parse(value: Any) -> int:
        if isinstance(value, str) and _WHOLE.fullmatch(value):
            value = int(value)
        return int(_between(value, int, low, high))

    return Kind(f"a whole number from {low} to {high}", "N", parse)


def rate(low: float, high: float) -> Kind[float]:
    """How often something may happen."""

    def parse(value: Any) -> float:
        if isinstance(value, str):
            value = float(value)
        return float(_between(value, int | float, low, high))

    return Kind(f"a number from {low:g} to {high:g}", "N", parse, "{:g}".format)


def size(low: int, high: int) -> Kind[int]:
    """A number of bytes."""

    def parse(value: Any) -> int:
        if isinstance(value, str):
            number, factor = _quantity(value, _BYTE_UNITS)
            try:
                value = int(number * factor)
            except OverflowError:  # it is infinite
                raise ValueError from None
        return int(_between(value, int, low, high))

    return Kind(
        f"a number of bytes, plain or with KiB, MiB, GiB, from {_bytes(low)} to {_bytes(high)}",
        "BYTES",
        parse,
        _bytes,
    )


def seconds(low: float, high: float) -> Kind[float]:
    """A duration."""

    def parse(value: Any) -> float:
        if isinstance(value, str):
            number, factor = _quantity(value, _TIME_UNITS)
            value = number * factor
        return float(_between(value, int | float, low, high))

    return Kind(
        f"a number of seconds, plain or with ms, s, min, h, d, from {_seconds(low)} to"
        f" {_seconds(high)}",
        "SECONDS",
        parse,
        _seconds,
    )


def choice(*names: str) -> Kind[str]:
    """One of some names."""

    def parse(value: Any) -> str:
        if value not in names:
            raise ValueError
        return str(value)

    return Kind(f"one of {', '.join(names)}", "|".join(names), parse)


def choices(*names: str) -> Kind[tuple[str, ...]]:
    """At least one of some names, in the order given, each once."""

    def parse(value: Any) -> tuple[str, ...]:
        chosen = entries(value)
        for name in chosen:
            if name not in names:
                raise Refused(f"{shorten(name)} is none of them")
        if not chosen:
            raise ValueError
        return tuple(dict.fromkeys(chosen))

    return Kind(f"one or more of {', '.join(names)}", "NAME,...", parse, join)


def matching(pattern: str, accepted: str, metavar: str) -> Kind[str]:
    """Text that a regular expression matches whole."""
    compiled = re.compile(pattern, re.ASCII)

    def parse(value: Any) -> str:
        if not isinstance(value, str) or not compiled.fullmatch(value):
            raise ValueError
        return value

    return Kind(accepted, metavar, parse)


def _parse_switch(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    switch = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if isinstance(value, str) and value.lower() in switch:
        return switch[value.lower()]
    raise ValueError


switch: Final = Kind("true or false", "true|false", _parse_switch, lambda value: str(value).lower())
