"""What all commands that talk to an API share: where it is, with which key, and how they say what they were told."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any
from urllib.parse import quote

import typer
from msgspec import json
from rich.console import Console

from fillip.client.api import ApiClient, CallFailed, CallRefused
from fillip.core.errors import Crash

USUAL_URL = "http://127.0.0.1:8080"
Url = Annotated[str, typer.Option("--url", envvar="FILLIP_URL", help="Where the API is.")]
Key = Annotated[str, typer.Option("--key", envvar="FILLIP_KEY", help="An API key of the tenant.", show_default=False)]
OperatorKey = Annotated[
    str,
    typer.Option("--key", envvar=["FILLIP_OPERATOR_KEY", "FILLIP_KEY"], help="The operator's key.", show_default=False),
]
OwnUrl = Annotated[
    str | None,
    typer.Option(
        "--url", envvar="FILLIP_URL", help="Do it by this API instead of in the database.", show_default=False
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON on stdout: an object, or one a line of a list.")]
screen = Console(stderr=True)


@contextmanager
def calling(url: str, key: str) -> Iterator[ApiClient]:
    """A client of an API; what it refuses, or that nobody answers, is one line that says what to do (Crash)."""
    if not key.strip():
        raise typer.BadParameter("an API key is needed: give --key, or set FILLIP_KEY")
    try:
        with ApiClient(url, key.strip()) as client:
            yield client
    except CallRefused as refused:
        if refused.status != 401:
            raise
        raise Crash(f"{refused}; give a live key by --key or FILLIP_KEY") from refused
    except CallFailed as failed:
        raise Crash(f"{failed}; is the API up, and --url right? `fillip status` looks") from failed


def name_path(*parts: str) -> str:
    """A path of the API from its segments, each percent-encoded."""
    return "/v1/" + "/".join(quote(part, safe="") for part in parts)


def say(document: object) -> None:
    """One JSON document on a line of stdout."""
    typer.echo(json.encode(document).decode())


def show_rows(items: Iterable[Any], columns: Sequence[str], *, as_json: bool) -> None:
    """The items of a list: as JSON one a line, or as a table of these columns."""
    if as_json:
        for item in items:
            say(item)
        return
    rows = [list(columns), *([_write_cell(item.get(name)) for name in columns] for item in items)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(columns))]
    for row in rows:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _write_cell(value: object) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value))
    return "-" if value is None else str(value)
