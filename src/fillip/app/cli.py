"""The command `fillip`."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fillip.core.errors import FillipError

app = typer.Typer(
    help="Fillip: real events in, exact incentives out, pushed at once.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
tenants = typer.Typer(help="Tenants, for the operator.", no_args_is_help=True)
keys = typer.Typer(help="API keys, for the operator.", no_args_is_help=True)
positions = typer.Typer(help="How far the log of events is decided, for the operator.", no_args_is_help=True)
app.add_typer(tenants, name="tenant")
app.add_typer(positions, name="positions")
app.add_typer(keys, name="key")

StateDir = Annotated[Path, typer.Option("--state", help="Folder that holds everything this instance keeps.")]
ApiPort = Annotated[int | None, typer.Option(help="Port of the API. [default: 8080, or a free one]")]
GatewayPort = Annotated[int | None, typer.Option(help="Port of the WebSocket gateway. [default: 8081, or a free one]")]
AnalysePort = Annotated[int | None, typer.Option(help="Port of the reports. [default: 8082, or a free one]")]
PostgresDsn = Annotated[str | None, typer.Option(help="Use this PostgreSQL 18 instead of an embedded one.")]
ValkeyUrl = Annotated[str | None, typer.Option(help="Use this Valkey instead of an embedded one.")]
KafkaBootstrap = Annotated[str | None, typer.Option(help="Use this Kafka instead of an embedded one.")]

screen = Console(stderr=True)


def main() -> None:
    """Run the command line; an error that Fillip raises on purpose is one line and exit code 1."""
    try:
        app()
    except FillipError as error:
        screen.print(f"[red]fillip:[/] {error}", markup=True, highlight=False, soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


@app.command()
def up(
    state: StateDir = Path(".fillip/state"),
    api_port: ApiPort = None,
    gateway_port: GatewayPort = None,
    analyse_port: AnalysePort = None,
    postgres_dsn: PostgresDsn = None,
    valkey_url: ValkeyUrl = None,
    kafka_bootstrap: KafkaBootstrap = None,
) -> None:
    """Start everything and keep it up: PostgreSQL, Valkey, Kafka and all processes of Fillip. Ctrl-C stops.

    Examples:

        fillip up

        fillip up --state /var/lib/fillip --api-port 9000
    """
    from fillip.app.embedded import External
    from fillip.app.keep import keep_up

    ports = {"api": api_port, "gateway": gateway_port, "analyse": analyse_port}
    keep_up(state, ports, External(postgres_dsn, valkey_url, kafka_bootstrap), screen)


@app.command()
def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything up afterwards and print the URLs.")] = False,
    state: Annotated[Path, typer.Option("--state", help="Folder for the demo's servers; emptied first.")] = Path(
        ".fillip/demo"
    ),
    kills: Annotated[int, typer.Option(min=0, max=100, help="Kill -9 the worker this often at random moments.")] = 0,
) -> None:
    """Run the main job on a year of real grocery shopping, with a live board, and check the counts.

    Examples:

        fillip demo

        fillip demo --keep

        fillip demo --kills 10
    """
    from fillip.app.demo import run_demo

    raise typer.Exit(run_demo(state, keep=keep, kills=kills))


@app.command()
def doctor(state: StateDir = Path(".fillip/state")) -> None:
    """Tell what is missing or taken on this machine, and how to mend it."""
    from fillip.app.doctor import doctor as look
    from fillip.app.doctor import render
    from fillip.app.up import USUAL_PORTS

    checks = look(state, USUAL_PORTS)
    Console().print(render(checks))
    raise typer.Exit(0 if all(check.ok for check in checks) else 1)


@app.command()
def migrate() -> None:
    """Bring schema, roles, replication slot and topics of FILLIP_POSTGRES_DSN and FILLIP_KAFKA_BOOTSTRAP up to date."""
    from fillip.app.prepare import prepare
    from fillip.app.settings import read_settings

    prepare(read_settings())


@app.command()
def api() -> None:
    """Run the REST API: POST /v1/events and the control plane."""
    from fillip.app.api import run_api
    from fillip.app.processes import serve

    serve("api", run_api)


@app.command()
def worker() -> None:
    """Run a worker: decides events. Any number may run."""
    from fillip.app.path import run_worker
    from fillip.app.processes import serve

    serve("worker", run_worker)


@app.command()
def publish() -> None:
    """Run publish: announces what the ledger stored. One runs; a second one waits for its slot."""
    from fillip.app.announcer import run_publish
    from fillip.app.processes import serve

    serve("publish", run_publish)


@app.command()
def sweep() -> None:
    """Run the sweep: expires and activates what is due, makes coupon codes. Any number may run."""
    from fillip.app.processes import serve
    from fillip.app.sweeper import run_sweep

    serve("sweep", run_sweep)


@app.command()
def gateway() -> None:
    """Run a gateway: WebSocket streams of end customers. Any number may run."""
    from fillip.app.doors import run_gateway_process
    from fillip.app.processes import serve

    serve("gateway", run_gateway_process)


@app.command()
def analyse() -> None:
    """Run the Analytics Bay and its reports. One runs."""
    from fillip.app.doors import run_analyse_process
    from fillip.app.processes import serve

    serve("analyse", run_analyse_process)


def _find_dsn(state: Path) -> str:
    from fillip.app.up import read_running

    return read_running(state).postgres_dsn


@tenants.command("create")
def create_tenant(
    tenant_id: Annotated[str, typer.Argument(help="Lower case letters, digits and dashes.")],
    name: Annotated[str, typer.Option(help="Name for people.")] = "",
    time_zone: Annotated[str, typer.Option(help="IANA zone; days, weeks and months are counted in it.")] = "UTC",
    currency: Annotated[str, typer.Option(help="ISO 4217.")] = "USD",
    clock: Annotated[str, typer.Option(help="`live`, or `history` for samples and imports.")] = "live",
    state: StateDir = Path(".fillip/state"),
) -> None:
    """Create a tenant and its first API key, which is shown once.

    Example:

        fillip tenant create acme --time-zone Europe/Berlin --currency EUR
    """
    from fillip.app.operate import create_tenant as create

    fields = {"name": name or tenant_id, "time_zone": time_zone, "currency": currency, "clock": clock}
    typer.echo(create(_find_dsn(state), tenant_id=tenant_id, **fields))


@tenants.command("quotas")
def set_quotas(
    tenant_id: Annotated[str, typer.Argument(help="Of which tenant.")],
    changes: Annotated[list[str] | None, typer.Argument(help="NAME=NUMBER, or NAME=default; none: only show.")] = None,
    state: StateDir = Path(".fillip/state"),
) -> None:
    """Show what a tenant may take and has taken, or change it; in force everywhere within 5 seconds.

    Examples:

        fillip tenant quotas acme

        fillip tenant quotas acme events_per_s=500 coupon_codes=1000000

        fillip tenant quotas acme events_per_s=default
    """
    from fillip.app.operate import set_quotas as change

    shown = change(_find_dsn(state), tenant_id, changes or []).quotas
    for name, each in shown.items():
        used = "" if each.used is None else f"{each.used:,} used"
        typer.echo(
            f"{name:16}{each.quota:>16,}  {'' if each.quota == each.default else f'(default {each.default:,})':26}{used}"
        )


@keys.command("create")
def create_key(
    tenant_id: Annotated[str, typer.Argument(help="Of which tenant.")],
    name: Annotated[str, typer.Option(help="What it is for.")] = "operator",
    state: StateDir = Path(".fillip/state"),
) -> None:
    """Create an API key with all scopes, which is shown once.

    Example:

        fillip key create acme --name checkout
    """
    from fillip.app.operate import create_key as create

    typer.echo(create(_find_dsn(state), tenant_id, name))


@positions.command("show")
def show_positions(state: StateDir = Path(".fillip/state")) -> None:
    """Show each partition's stored position beside its log, and whether the one fits the other.

    Of the instance that runs in the state folder, or of FILLIP_POSTGRES_DSN and FILLIP_KAFKA_BOOTSTRAP.

    Example:

        fillip positions show
    """
    from fillip.app.positions import find_settings, look, tabulate

    standings = look(find_settings(state))
    Console().print(tabulate(standings))
    raise typer.Exit(1 if any(each.misfit for each in standings) else 0)


@positions.command("restart")
def restart_positions(state: StateDir = Path(".fillip/state")) -> None:
    """Go on with the log as it is, where a stored position does not fit it: workers refuse to by themselves.

    That is so when the topic was made anew, when the broker came back with an older copy, or when records were deleted
    before they were decided. Each such partition is read from the first offset of its log, under a new generation; all
    of them at once, or none. Events that were decided before have no effect again. Running workers go on within seconds.
    Partitions that fit stay as they are.

    Examples:

        fillip positions restart

        fillip positions restart --state /var/lib/fillip
    """
    from fillip.app.positions import find_settings, restart

    for each in restart(find_settings(state)):
        typer.echo(
            f"partition {each.partition}: was at {each.stored.next_offset}, goes on at {each.log.first} of the log as it is"
        )


if __name__ == "__main__":
    main()
