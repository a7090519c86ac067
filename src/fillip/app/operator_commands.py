"""The commands of the operator: tenants, keys, positions. They talk to the servers that `find_settings` finds."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

if TYPE_CHECKING:  # no circle: settings load pydantic, which no command that only shows its help should wait for
    from fillip.app.settings import Settings

tenants = typer.Typer(help="Tenants, for the operator.", no_args_is_help=True)
keys = typer.Typer(help="API keys, for the operator.", no_args_is_help=True)
positions = typer.Typer(help="How far the log of events is decided, for the operator.", no_args_is_help=True)

Instance = Annotated[
    Path | None,
    typer.Option(
        "--state",
        help="State folder of the running instance that is meant. [default: the servers of FILLIP_POSTGRES_DSN; without "
        "that, the instance in FILLIP_STATE_DIR, or .fillip/state]",
    ),
]
screen = Console(stderr=True)


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
) -> None:
    """Create a tenant and its first API key, which is shown once.

    Examples:

        fillip tenant create acme --time-zone Europe/Berlin --currency EUR

        KEY=$(fillip tenant create acme)
    """
    from fillip.app.operate import create_tenant as create

    fields = {"name": name or tenant_id, "time_zone": time_zone, "currency": currency, "clock": clock}
    typer.echo(create(_find_settings(state).owner_dsn, tenant_id=tenant_id, **fields))


@tenants.command("quotas")
def set_quotas(
    tenant_id: Annotated[str, typer.Argument(help="Of which tenant.")],
    changes: Annotated[list[str] | None, typer.Argument(help="NAME=NUMBER, or NAME=default; none: only show.")] = None,
    state: Instance = None,
) -> None:
    """Show what a tenant may take and has taken, or change it; in force everywhere within 5 seconds.

    Examples:

        fillip tenant quotas acme

        fillip tenant quotas acme events_per_s=500 coupon_codes=1000000

        fillip tenant quotas acme events_per_s=default
    """
    from fillip.app.operate import set_quotas as change

    shown = change(_find_settings(state).owner_dsn, tenant_id, changes or []).quotas
    for name, each in shown.items():
        used = "" if each.used is None else f"{each.used:,} used"
        typer.echo(
            f"{name:16}{each.quota:>16,}  {'' if each.quota == each.default else f'(default {each.default:,})':26}{used}"
        )


@keys.command("create")
def create_key(
    tenant_id: Annotated[str, typer.Argument(help="Of which tenant.")],
    name: Annotated[str, typer.Option(help="What it is for.")] = "operator",
    state: Instance = None,
) -> None:
    """Create an API key with all scopes, which is shown once.

    Example:

        fillip key create acme --name checkout
    """
    from fillip.app.operate import create_key as create

    typer.echo(create(_find_settings(state).owner_dsn, tenant_id, name))


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
