"""Pages that a reader follows step by step, carried out as they are written.

The sentence before each literal block says what to do with it::

    Run:                    in the terminal that is open
    In a second terminal, run:
    Start ...:              the same, and it goes on running
    Create ``path``:        the block is the file
    Replace ``path`` by:    it takes the place of what is there
    Append to ``path``:     it comes behind what is there
    For reference, ...:     it is shown, and tested in another way

A block without such a sentence is an error: nothing on these pages goes untested by oversight.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, NamedTuple

from docutils import nodes

from tests.docs.pages import ROOT, page

WALKTHROUGHS = (
    "docs/tutorial.rst",
    *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs" / "howto").glob("*.rst")),
)

Verb = Literal["run", "second", "start", "create", "replace", "append", "show"]

_SENTENCES: dict[str, Verb] = {
    r"Run:": "run",
    r"In a second terminal, run:": "second",
    r"Start [^`]*:": "start",
    r"Create ``(\S+)``:": "create",
    r"Replace ``(\S+)`` by:": "replace",
    r"Append to ``(\S+)``:": "append",
    r"For reference, .*:": "show",
}

RUN_SECONDS = 240.0


class Step(NamedTuple):
    """One literal block and what its page says to do with it; `path` is empty for commands."""

    verb: Verb
    path: str
    name: str
    text: str


def steps(path: str) -> list[Step]:
    """The steps of a page, in its order."""
    found = []
    for block in page(path).findall(lambda node: isinstance(node, nodes.literal_block)):
        before = block.parent[block.parent.index(block) - 1]
        said = re.sub(r"\s+", " ", before.rawsource)
        for sentence, verb in _SENTENCES.items():
            if match := re.search(rf"(?:^|[.!?] ){sentence}$", said):
                name = block["names"][0] if block["names"] else ""
                found.append(Step(verb, (*match.groups(), "")[0], name, block.astext() + "\n"))
                break
        else:
            raise AssertionError(f"{path} does not say what to do with this: {said}\n{block}")
    return found


def step(path: str, name: str) -> Step:
    """The named step of a page."""
    return next(found for found in steps(path) if found.name == name)


class Terminal:
    """A shell session: the folder and the environment that one command leaves are the next's."""

    def __init__(self, folder: Path, **environment: str) -> None:
        """`environment` is added to ours, without what this project's own tests have set."""
        self.folder = folder
        self.environment = clean_environment() | environment

    def run(self, text: str) -> str:
        """Run commands, of which each must succeed; what they said."""
        read, write = os.pipe()
        with os.fdopen(read) as told:
            with os.fdopen(write, "w"):
                done = subprocess.run(
                    ["bash", "-ec", f"{text}\npwd >&{write}; env -0 >&{write}"],
                    cwd=self.folder,
                    env=self.environment,
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    text=True,
                    timeout=RUN_SECONDS,
                    pass_fds=[write],
                )
            assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"
            folder, _, environment = told.read().partition("\n")
        self.folder = Path(folder)
        self.environment = dict(
            entry.split("=", 1) for entry in environment.split("\0") if "=" in entry
        )
        return done.stdout

    def start(self, text: str, **more: str) -> "subprocess.Popen[bytes]":
        """Start one command that goes on running, with `more` in its environment."""
        # setpriv takes care that it does not outlive this process.
        return subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "bash", "-ec", f"exec {text}"],
            cwd=self.folder,
            env=self.environment | more,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )

    def write(self, step: Step) -> None:
        """Carry out a step that is about a file."""
        file = self.folder / step.path
        assert file.exists() == (step.verb != "create"), f"{step.verb} {step.path}"
        file.parent.mkdir(parents=True, exist_ok=True)
        before = file.read_text() if step.verb == "append" else ""
        file.write_text(before + step.text)


def follow(terminal: Terminal, todo: Iterable[Step]) -> None:
    """Carry out the steps that run or write something; those for later are left to the caller."""
    for each in todo:
        if each.path:
            terminal.write(each)
        elif each.verb == "run":
            terminal.run(each.text)


def clean_environment() -> dict[str, str]:
    """Ours, with this environment's programs first and no settings of our own tests."""
    ours = {
        name: value
        for name, value in os.environ.items()
        if name != "DJANGO_SETTINGS_MODULE" and not name.startswith("ROOMLINE_")
    }
    return ours | {"PATH": f"{Path(sys.executable).parent}:{ours['PATH']}"}
