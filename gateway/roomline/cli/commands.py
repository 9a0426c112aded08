"""The commands with their arguments; each is carried out by a file of its own."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from roomline import __version__
from roomline.cli.definitions import print_definitions
from roomline.cli.doctor import doctor
from roomline.cli.publish import publish
from roomline.cli.tail import since, tail
from roomline.config import Settings, SettingsError, add_flags, load
from roomline.config.settings import CONSOLE_GROUPS
from roomline.running import serve
from roomline.wire import KINDS

if TYPE_CHECKING:
    # What `add_subparsers` returns has no public name.
    _Commands = argparse._SubParsersAction[argparse.ArgumentParser]

_STATUSES = """\
exit status: 0 done; 1 it failed; 2 wrong arguments or settings, or it cannot start with them;
3 (publish) sent, but the outcome is not known
"""


def run(arguments: Sequence[str] | None) -> int:
    """Parse `arguments`, read the settings, and carry the command out."""
    options = _parser().parse_args(arguments)
    try:
        settings = load(vars(options), os.environ)
    except SettingsError as error:
        for problem in error.problems:
            print(f"roomline: {problem}", file=sys.stderr)
        return 2
    try:
        return int(options.command(settings, options))
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="roomline",
        description="A SockJS-compatible realtime gateway in which the log is the room.",
        epilog=_STATUSES,
    )
    parser.add_argument("--version", action="version", version=f"roomline {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_serve(commands)
    _add_publish(commands)
    _add_tail(commands)
    _add_definitions(commands)
    _add_doctor(commands)
    return parser


def _add_serve(commands: "_Commands") -> None:
    parser = commands.add_parser(
        "serve",
        help="run a gateway node",
        description="Run a gateway node. Every setting may come from a flag, from the environment"
        " or from a settings file (TOML), in that order of rank. SIGTERM and SIGINT drain it; a"
        " second one ends it at once.",
        epilog=_STATUSES,
        allow_abbrev=False,
    )
    add_flags(parser)
    parser.set_defaults(command=_serve)


def _add_publish(commands: "_Commands") -> None:
    parser = commands.add_parser(
        "publish",
        help="publish into a room",
        description="Publish into a room, and wait until the broker has confirmed.",
        epilog=_STATUSES,
        allow_abbrev=False,
    )
    parser.add_argument("room", metavar="ROOM")
    parser.add_argument("data", metavar="DATA", help="JSON; -: what comes on standard input")
    parser.add_argument("--text", action="store_true", help="DATA is text, not JSON")
    parser.add_argument("--kind", choices=KINDS, default="message", help="default: message")
    add_flags(parser, CONSOLE_GROUPS)
    parser.set_defaults(command=_publish)


def _add_tail(commands: "_Commands") -> None:
    parser = commands.add_parser(
        "tail",
        help="follow rooms in the terminal",
        description="Print what is published into rooms, read from the log itself: time, room,"
        " sender, data.",
        epilog=_STATUSES,
        allow_abbrev=False,
    )
    parser.add_argument(
        "rooms", metavar="ROOM", nargs="*", help="a room, or prefix.** for all below; none: all"
    )
    parser.add_argument(
        "--since",
        type=since,
        default="next",
        metavar="first|next|OFFSET|TIME",
        help="where to begin: the oldest entry of the log, what comes from now on, an offset, or"
        " an ISO time, local unless it says otherwise (default: next)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object per line")
    parser.add_argument(
        "--no-follow", action="store_true", help="end when the log has been read to its end"
    )
    add_flags(parser, CONSOLE_GROUPS)
    parser.set_defaults(command=_tail)


def _add_definitions(commands: "_Commands") -> None:
    parser = commands.add_parser(
        "definitions",
        help="print what RabbitMQ has to have",
        description="Print RabbitMQ definitions (JSON for load_definitions) for the namespaces and"
        " the retention of the settings: exchanges, logs, queues, bindings, and the users gateway,"
        " django, ops and monitor with no more rights than they need. The users cannot log in"
        " before they are given passwords.",
        epilog=_STATUSES,
        allow_abbrev=False,
    )
    parser.add_argument("--vhost", default="/", help="the virtual host (default: /)")
    add_flags(parser, CONSOLE_GROUPS)
    parser.set_defaults(command=_definitions)


def _add_doctor(commands: "_Commands") -> None:
    parser = commands.add_parser(
        "doctor",
        help="look for what is wrong",
        description="Look at everything that a gateway with these settings stands on: the broker,"
        " its user's rights, exchanges and logs, limits, clocks, and with --url the proxies before"
        " it. Says of each finding what is so and what to do. Changes nothing. Run it where the"
        " gateway runs, with the settings and as the user of the gateway.",
        epilog="exit status: 0 no problem was found; 1 one was; 2 wrong arguments or settings",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--url",
        help="the public address of the endpoint, such as https://chat.example/roomline: sessions"
        " are opened there over each transport",
    )
    parser.add_argument(
        "--console-file",
        metavar="PATH",
        help="a file with the address of RabbitMQ's console, http://USER:PASSWORD@HOST:PORT, of a"
        " user with the tag monitoring: shows bindings, policies and replicas",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object in the end")
    add_flags(parser)
    parser.set_defaults(command=_doctor)


def _serve(settings: Settings, options: argparse.Namespace) -> int:
    return serve(settings)


def _publish(settings: Settings, options: argparse.Namespace) -> int:
    return publish(settings, options.room, options.data, text=options.text, kind=options.kind)


def _tail(settings: Settings, options: argparse.Namespace) -> int:
    return tail(
        settings,
        options.rooms,
        options.since,
        as_json=options.json,
        follow=not options.no_follow,
    )


def _definitions(settings: Settings, options: argparse.Namespace) -> int:
    return print_definitions(settings, options.vhost)


def _doctor(settings: Settings, options: argparse.Namespace) -> int:
    return doctor(settings, options.url, options.console_file, json=options.json)
