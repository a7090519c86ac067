"""The commands of the operator: tenants, keys, positions.

They talk to the servers that `find_settings` finds, or where `--url` says so to an API; what is listed comes from an API always.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from fillip.app.commands.remote import (
    USUAL_URL,
    AsJson,
    Key,
    OperatorKey,
    OwnUrl,
    Url,
    calling,
    name_path,
    say,
    screen,
    show_rows,
)
from fillip.client.api import ApiClient

if TYPE_CHECKING:  # no circle: settings load pydantic, which no command that only shows its help should wait for
    from fillip.app.settings import Settings

tenants = typer.Typer(help="Tenants, for the operator; and one's own.", no_args_is_help=True)
keys = typer.Typer(help="API keys.", no_args_is_help=True)
positions = typer.Typer(help="How far the log of events is decided, for the operator.", no_args_is_help=True)

Instance = Annotated[
    Path | None,
    typer.Option(
        "--state",
        help="State folder of the running instance that is meant. [default: the servers of FILLIP_POSTGRES_DSN; without "
        "that, the instance in FILLIP_STATE_DIR, or .fillip/state]",
    ),
]


def _find_settings(state: Path | None, *, kafka: bool = False) -> "Settings":
    """The settings of the servers that are meant; says on stderr which, so that stdout stays for what was asked."""
    from fillip.app.running import find_settings

    found = find_settings(state)
    tell(found.describe(kafka=kafka))
    return found.settings


def tell(servers: str) -> None:
    """Say on stderr which servers a command talks to."""
    screen.print(f"on {servers}", style="dim", markup=False, highlight=False, soft_wrap=True)


@tenants.command("create")
def create_tenant(
    tenant_id: Annotated[str, typer.Argument(help="Lower case letters, digits and dashes.")],
    name: Annotated[str, typer.Option(help="Name for people.")] = "",
    time_zone: Annotated[str, typer.Option(help="IANA zone; days, weeks and months are counted in it.")] = "UTC",
    currency: Annotated[str, typer.Option(help="ISO 4217.")] = "USD",
    clock: Annotated[str, typer.Option(help="`live`, or `history` for samples and imports.")] = "live",
    state: Instance = None,
    url: OwnUrl = None,
    key: OperatorKey = "",
    as_json: AsJson = False,
) -> None:
    """Create a tenant and its first API key, which is shown once: stdout has the key alone, with --json what both are.

    Examples:

        fillip tenants create acme --time-zone Europe/Berlin --currency EUR

        KEY=$(fillip tenants create acme)

        FILLIP_OPERATOR_KEY=… fillip tenants create acme --url https://fillip.example
    """
    fields = {"name": name or tenant_id, "time_zone": time_zone, "currency": currency, "clock": clock}
    if url and state is None:
        with calling(url, key) as client:
            tenant = client.post("/v1/tenants", {"tenant_id": tenant_id, **fields})
            issued = _issue_key(client, name_path("tenants", tenant_id, "keys"), "first", ())
    else:
        from fillip.app.operate import create_tenant as create

        made = create(_find_settings(state).owner_dsn, tenant_id=tenant_id, **fields)
        tenant, issued = (each.model_dump(mode="json") for each in made)
    if as_json:
        say({**tenant, "first_key": issued})
    else:
        typer.echo(issued["key"])


@tenants.command("list")
def list_tenants(url: Url = USUAL_URL, key: OperatorKey = "", as_json: AsJson = False) -> None:
    """List all tenants by id, with the operator's key.

    Example:

        FILLIP_OPERATOR_KEY=… fillip tenants list --url https://fillip.example
    """
    with calling(url, key) as client:
        columns = ("tenant_id", "name", "time_zone", "currency", "clock", "book_version")
        show_rows(client.list("/v1/tenants"), columns, as_json=as_json)


@tenants.command("show")
def show_tenant(url: Url = USUAL_URL, key: Key = "", as_json: AsJson = False) -> None:
    """Show the tenant that a key belongs to, and what it may take and has taken.

    Example:

        FILLIP_KEY=fk_live_… fillip tenants show --url https://fillip.example
    """
    with calling(url, key) as client:
        tenant = client.get("/v1/tenant") | {"quotas": client.get("/v1/tenant/quotas")["quotas"]}
    if as_json:
        say(tenant)
        return
    for field in ("tenant_id", "name", "time_zone", "currency", "clock", "book_version", "in_force_version"):
        typer.echo(f"{field:18}{tenant[field]}")
    _tell_quotas(tenant["quotas"])


@tenants.command("quotas")
def set_quotas(
    tenant_id: Annotated[str, typer.Argument(help="Of which tenant.")],
    changes: Annotated[list[str] | None, typer.Argument(help="NAME=NUMBER, or NAME=default; none: only show.")] = None,
    state: Instance = None,
    url: OwnUrl = None,
    key: OperatorKey = "",
    as_json: AsJson = False,
) -> None:
    """Show what a tenant may take and has taken, or change it; in force everywhere within 5 seconds.

    Examples:

        fillip tenants quotas acme

        fillip tenants quotas acme events_per_s=500 coupon_codes=1000000

        fillip tenants quotas acme events_per_s=default
    """
    from fillip.app.operate import read_changes
    from fillip.app.operate import set_quotas as change

    if url and state is None:
        with calling(url, key) as client:
            part = read_changes(changes or []).model_dump(exclude_unset=True)
            answer = client.patch(name_path("tenants", tenant_id, "quotas"), part)
    else:
        answer = change(_find_settings(state).owner_dsn, tenant_id, changes or []).model_dump(mode="json")
    if as_json:
        say(answer)
    else:
        _tell_quotas(answer["quotas"])


@keys.command("create")
def create_key(
    tenant_id: Annotated[
        str | None,
        typer.Argument(help="Of which tenant, for the operator; left out: of the key's own.", show_default=False),
    ] = None,
    name: Annotated[str, typer.Option(help="What it is for.")] = "operator",
    scopes: Annotated[
        list[str] | None,
        typer.Option("--scope", help="What it may do, for each once. [default: all]", show_default=False),
    ] = None,
    state: Instance = None,
    url: OwnUrl = None,
    key: OperatorKey = "",
    as_json: AsJson = False,
) -> None:
    """Create an API key, which is shown once: stdout has the key alone, with --json also its id, by which it is revoked.

    Examples:

        fillip keys create acme --name checkout --scope events:write

        FILLIP_KEY=fk_live_… fillip keys create --name till --scope events:write --url https://fillip.example
    """
    if url and state is None:
        with calling(url, key) as client:
            path = name_path("tenants", tenant_id, "keys") if tenant_id else "/v1/keys"
            issued = _issue_key(client, path, name, scopes or ())
    elif tenant_id is None:
        raise typer.BadParameter("name a tenant; or say with --url which API makes a key of your own tenant")
    else:
        from fillip.app.operate import create_key as create

        issued = create(_find_settings(state).owner_dsn, tenant_id, name, scopes or ()).model_dump(mode="json")
    if as_json:
        say(issued)
    else:
        typer.echo(issued["key"])


@keys.command("list")
def list_keys(url: Url = USUAL_URL, key: Key = "", as_json: AsJson = False) -> None:
    """List the tenant's keys, the oldest first: never the keys themselves, only how they begin.

    Example:

        fillip keys list
    """
    with calling(url, key) as client:
        columns = ("key_id", "name", "prefix", "created_at", "expires_at", "revoked_at", "scopes")
        show_rows(client.list("/v1/keys"), columns, as_json=as_json)


@keys.command("revoke")
def revoke_key(
    key_id: Annotated[str, typer.Argument(help="Which key, as `fillip keys list` calls it.")],
    url: Url = USUAL_URL,
    key: Key = "",
) -> None:
    """Revoke a key: it opens nothing more, everywhere within 3 seconds.

    Example:

        fillip keys revoke 6f1c1f6e-4f0a-8d2e-9b7c-0242ac120002
    """
    with calling(url, key) as client:
        client.delete(name_path("keys", key_id))


def _issue_key(client: ApiClient, path: str, name: str, scopes: Sequence[str]) -> dict[str, Any]:
    from fillip.app.operate import ALL_SCOPES

    issued: dict[str, Any] = client.post(path, {"name": name, "scopes": scopes or ALL_SCOPES})
    return issued


def _tell_quotas(quotas: Mapping[str, Mapping[str, Any]]) -> None:
    for name, each in quotas.items():
        used = "" if each["used"] is None else f"{each['used']:,} used"
        changed = "" if each["quota"] == each["default"] else f"(default {each['default']:,})"
        typer.echo(f"{name:16}{each['quota']:>16,}  {changed:26}{used}")


@positions.command("show")
def show_positions(state: Instance = None) -> None:
    """Show each partition's stored position beside its log, and whether the one fits the other.

    Example:

        fillip positions show
    """
    from fillip.app.positions import look, tabulate

    standings = look(_find_settings(state, kafka=True))
    Console().print(tabulate(standings))
    raise typer.Exit(1 if any(each.misfit for each in standings) else 0)


@positions.command("restart")
def restart_positions(state: Instance = None) -> None:
    """Go on with the log as it is, where a stored position does not fit it: workers refuse to by themselves.

    That is so when the topic was made anew, when the broker came back with an older copy, or when records were deleted
    before they were decided. Each such partition is read from the first offset of its log, under a new generation; all
    of them at once, or none. Events that were decided before have no effect again. Running workers go on within seconds.
    So do cohorts by events, which refuse only a log that ends before what they have counted.
    Partitions that fit stay as they are.

    Examples:

        fillip positions restart

        fillip positions restart --state /var/lib/fillip
    """
    from fillip.app.positions import restart

    for each in restart(_find_settings(state, kafka=True)):
        typer.echo(
            f"{each.reader}, partition {each.partition}: was at {each.stored.next_offset}, goes on at {each.log.first} of the log as it is"
        )
