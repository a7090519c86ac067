"""`fillip events`: sends events to an API, and shows what becomes of them."""

import sys
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from fillip.app.commands.remote import USUAL_URL, AsJson, Key, Url, calling, say, screen
from fillip.client.api import CallFailed
from fillip.client.sending import RefusedEvent, SentEvents, read_events
from fillip.client.sending import send_events as send
from fillip.client.tail import tail_events
from fillip.core.errors import Crash

ASK_EVERY_S = 1.0
events = typer.Typer(help="Events of a tenant, by the API.", no_args_is_help=True)


@events.command("send")
def send_events(
    file: Annotated[
        Path, typer.Argument(help="Of CloudEvents: one a line (NDJSON), or one JSON document. `-` is stdin.")
    ],
    url: Url = USUAL_URL,
    key: Key = "",
    as_json: AsJson = False,
) -> None:
    """Send events from a file or a pipe, 1,000 at a time; what is refused is named with its line, and all else is taken.

    Sending a file again does no harm: an event of the same source and id counts once. When the API asks for patience, the
    command waits. Exit code 0 where all events are in the log, 1 where any is not.

    Examples:

        fillip events send orders.ndjson

        gunzip -c orders.ndjson.gz | fillip events send - --url https://fillip.example

        fillip events send one-event.json --json
    """
    with ExitStack() as stack:
        client = stack.enter_context(calling(url, key))
        try:
            source = sys.stdin.buffer if str(file) == "-" else stack.enter_context(file.open("rb"))
        except OSError as error:
            raise Crash(f"{file} can't be read: {error.strerror}") from None
        bar = stack.enter_context(
            Progress(
                SpinnerColumn(),
                TextColumn("{task.description}"),
                TimeElapsedColumn(),
                console=screen,
                disable=not screen.is_terminal,
            )
        )
        task = bar.add_task("0 events", total=None)
        sent = SentEvents()
        try:
            for sent in send(client, read_events(source), _say_refused if as_json else _tell_refused):
                bar.update(task, description=f"{sent.accepted:,} events")
        except CallFailed:
            screen.print(
                f"{_tell_taken(sent)}, all up to line {sent.line} that were not refused:"
                " send the others again, or the whole file, since an event counts once",
                highlight=False,
                soft_wrap=True,
            )
            raise
    if as_json:
        say(sent)
    else:
        typer.echo(f"{_tell_taken(sent)}, {sent.refused:,} {'was' if sent.refused == 1 else 'were'} refused")
    raise typer.Exit(1 if sent.refused else 0)


@events.command("tail")
def tail(url: Url = USUAL_URL, key: Key = "", as_json: AsJson = False) -> None:
    """Show what becomes of events from now on: each decision and rejection, about a second after it is stored. Ctrl-C ends it.

    An event that met no campaign is not recorded, and not shown. It asks once a second: for more than some hundred
    a second read the topics instead.

    Examples:

        fillip events tail

        fillip events tail --json | jq 'select(.outcome == "denied")'
    """
    with calling(url, key) as client:
        for each in tail_events(client, datetime.now(UTC), ASK_EVERY_S, _tell_left_out):
            if as_json:
                say(each)
            else:
                _tell_event(each)


def _tell_left_out(path: str) -> None:
    screen.print(f"more of {path} than can be shown: the older ones are left out", highlight=False, soft_wrap=True)


def _tell_event(found: dict[str, Any]) -> None:
    if "decision_id" in found:
        rewards = ", ".join(
            f"{each['kind']} {each['value']} {each['currency'] or ''}".strip() for each in found["rewards"]
        )
        what = rewards if found["outcome"] == "granted" else found["reason"]
        line = (found["decided_at"], found["outcome"], found["user_id"], found["campaign_id"], found["event_id"], what)
    else:
        line = (
            found["rejected_at"],
            "rejected",
            "-",
            "-",
            found["event_id"] or "-",
            f"{found['reason']}: {found['detail']}",
        )
    typer.echo("  ".join(line))


def _say_refused(refused: RefusedEvent) -> None:
    say(refused)


def _tell_taken(sent: SentEvents) -> str:
    return "1 event is in the log" if sent.accepted == 1 else f"{sent.accepted:,} events are in the log"


def _tell_refused(refused: RefusedEvent) -> None:
    told = "; ".join(f"{fault.at}: {fault.message}" if fault.at else fault.message for fault in refused.errors)
    screen.print(f"line {refused.line}: {told}", markup=False, highlight=False, soft_wrap=True)
