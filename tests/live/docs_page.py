"""Follows a page of the docs as a newcomer would: pastes its commands into a terminal, and compares what it shows.

Blocks of `sh` are commands. A block of `json` behind one is what the last of them answer, a block of `text` the last lines that
they print: … stands for anything, and "…": "…" in an object for more of it. Commands that only ask are given again until they answer
so.
"""

import json
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fillip.app.up import Stack

START = Path(__file__).parents[2] / "docs" / "start"
FIRST = "first-campaign.md"
WITHIN_S, LOOK_EVERY_S = 30.0, 0.1
ANY = "…"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Step:
    """Commands as they stand on the page, and what the last of them answer: objects, or lines (none: nothing is shown)."""

    commands: str
    shown: tuple[Any, ...] = ()

    @property
    def only_asks(self) -> bool:
        """Whether nothing is changed by them."""
        return re.fullmatch(r"\s*(?:(?:call (?!.*-X)|cat |tail ).*\n)+", self.commands) is not None


def read_steps(page: str) -> list[Step]:
    """The steps of a page of docs/start."""
    steps: list[Step] = []
    for language, body in BLOCK.findall((START / page).read_text()):
        if language == "sh":
            steps.append(Step(body))
        elif language in READERS:
            steps[-1] = Step(steps[-1].commands, tuple(READERS[language](body)))
    return steps


class Terminal:
    """A shell in a folder that looks like a checkout whose instance is `stack`."""

    def __init__(self, shell: "subprocess.Popen[str]", addresses: dict[str, str]) -> None:
        self._shell, self._addresses = shell, addresses

    def paste(self, commands: str) -> str:
        """Run them; what they print."""
        for usual, running in self._addresses.items():
            commands = commands.replace(usual, running)
        assert self._shell.stdin and self._shell.stdout
        self._shell.stdin.write(f"{commands}\necho; echo end-of-step\n")
        self._shell.stdin.flush()
        said: list[str] = []
        for line in self._shell.stdout:
            if line == "end-of-step\n":
                return "".join(said)
            said.append(line)
        raise AssertionError(f"the shell ended: {''.join(said)}")


@contextmanager
def open_terminal(stack: Stack, folder: Path) -> Iterator[Terminal]:
    """A terminal in `folder`; what it left running in the background ends with it."""
    (folder / ".venv").symlink_to(START.parents[1] / ".venv")
    (folder / ".fillip").mkdir()
    (folder / ".fillip" / "state").symlink_to(stack.state_dir)
    doors = {
        "127.0.0.1:8080": stack.doors.api,
        "127.0.0.1:8081": stack.doors.gateway,
        "127.0.0.1:8082": stack.doors.analyse,
        "127.0.0.1:8090": f"http://127.0.0.1:{stack.metrics_ports['api']}",
        "127.0.0.1:8093": f"http://127.0.0.1:{stack.metrics_ports['worker']}",
    }
    shell = subprocess.Popen(
        ["bash", "--noprofile", "--norc"],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(folder)},
        start_new_session=True,
    )
    with shell:
        try:
            yield Terminal(shell, {usual: url.partition("://")[2] for usual, url in doors.items()})
        finally:
            assert shell.stdin
            shell.stdin.write("kill $(jobs -p) 2>/dev/null; exit\n")
            shell.stdin.close()


def follow(terminal: Terminal, page: str) -> None:
    """Do all that a page says, after the beginning that all pages have in common; fails naming the step that went otherwise."""
    steps = read_steps(page)
    for step in steps if page == FIRST else [read_steps(FIRST)[0], *steps]:
        deadline = time.monotonic() + WITHIN_S
        while difference := find_difference(step, said := terminal.paste(step.commands)):
            in_time = step.only_asks and time.monotonic() < deadline
            assert in_time, f"{page}: {difference}\n{step.commands}\n{said}"
            time.sleep(LOOK_EVERY_S)


def find_difference(step: Step, said: str) -> str:
    """What was said that the page does not show; empty where it is as shown."""
    documents = read_documents(said)
    problems = any(isinstance(each, dict) and "/problems/" in str(each.get("type")) for each in documents)
    if not step.shown:
        return "refused" if problems or "Traceback" in said else ""
    came = documents if isinstance(step.shown[-1], dict) else read_lines(said)
    last = came[-len(step.shown) :]
    if len(last) != len(step.shown):
        return f"{len(step.shown)} answers are shown, {len(last)} came"
    return next((f"shown {a}, came {b}" for a, b in zip(step.shown, last, strict=True) if not is_like(a, b)), "")


def is_like(shown: Any, came: Any) -> bool:
    """Whether an answer is the one shown."""
    if isinstance(shown, str) and ANY in shown:
        return shown == ANY or (isinstance(came, str) and came.startswith(shown.partition(ANY)[0]))
    if isinstance(shown, dict) and isinstance(came, dict):
        more = shown.keys() - {ANY}
        whole = ANY in shown or more == came.keys()
        return whole and all(name in came and is_like(shown[name], came[name]) for name in more)
    if isinstance(shown, list) and isinstance(came, list):
        return len(shown) == len(came) and all(map(is_like, shown, came))
    return type(shown) is type(came) and shown == came


def read_documents(text: str) -> list[Any]:
    """The JSON objects in a text, one after the other, whatever stands between them."""
    found, at, decoder = [], text.find("{"), json.JSONDecoder()
    while at >= 0:
        try:
            document, end = decoder.raw_decode(text, at)
        except ValueError:
            end = at + 1
        else:
            found.append(document)
        at = text.find("{", end)
    return found


def read_lines(text: str) -> list[str]:
    """The lines of a text that are not empty."""
    return [line for line in text.splitlines() if line.strip()]


READERS = {"json": read_documents, "text": read_lines}
