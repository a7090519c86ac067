"""`fillip status`: whether an API answers, is ready, and knows the key."""

from typing import Any

import typer

from fillip.app.commands.remote import USUAL_URL, AsJson, Key, Url, calling, say
from fillip.client.api import ApiClient, CallRefused


def status(url: Url = USUAL_URL, key: Key = "", as_json: AsJson = False) -> None:
    """Tell how a remote API is, and with a key of whom it is and whether all workers decide under its newest definitions.

    Exit code 1 where the API does not answer, is not ready, or does not know the key.

    Examples:

        fillip status --url https://fillip.example

        FILLIP_URL=https://fillip.example FILLIP_KEY=fk_live_… fillip status --json
    """
    with calling(url, key or "none") as client:
        told: dict[str, Any] = {"url": url, "ready": True, "says": _ask_ready(client)}
        told["ready"] = told["says"] == "ok"
        told["tenant"] = client.get("/v1/tenant") if key else None
    if as_json:
        say(told)
    else:
        typer.echo(f"{url}: {'ready' if told['ready'] else told['says']}")
        if tenant := told["tenant"]:
            typer.echo(f"tenant {tenant['tenant_id']} ({tenant['name']}), {tenant['time_zone']}, {tenant['currency']}")
            typer.echo(f"definitions: version {tenant['book_version']}, in force {tenant['in_force_version']}")
    raise typer.Exit(0 if told["ready"] else 1)


def _ask_ready(client: ApiClient) -> str:
    """What the API says of itself: `ok`, or what it waits for."""
    try:
        return client.get_text("/readyz").strip()
    except CallRefused as refused:
        if refused.status != 503:
            raise
        return refused.said.strip()
