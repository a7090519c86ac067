"""The command `fillip`."""

import sys
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fillip.app.commands.campaigns import campaigns, explain
from fillip.app.commands.events import events
from fillip.app.commands.operator import keys, positions, tell, tenants
from fillip.app.commands.remote import screen
from fillip.app.commands.status import status
from fillip.core.errors import Crash, FillipError

HELP = """Fillip: real events in, exact incentives out, pushed at once.

Settings come from the environment (`FILLIP_…`, see docs/reference/settings.md); every command heeds them. Commands with `--url`
talk to an API, wherever it is (`FILLIP_URL`, `FILLIP_KEY`). Exit codes: 0 done, 1 it could not be done (one line on stderr says
why), 2 wrong use of the command, 130 interrupted.
"""

app = typer.Typer(help=HELP, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode="markdown")
app.add_typer(tenants, name="tenants")
app.add_typer(keys, name="keys")
app.add_typer(campaigns, name="campaigns")
app.add_typer(events, name="events")
app.add_typer(positions, name="positions")
for group, old_name in ((tenants, "tenant"), (keys, "key")):  # as scripts of before call them
    app.add_typer(group, name=old_name, hidden=True)

StateDir = Annotated[
    Path | None,
    typer.Option(
        "--state",
        help="Folder that holds everything this instance keeps. [default: FILLIP_STATE_DIR, or .fillip/state]",
    ),
]
ApiPort = Annotated[int | None, typer.Option(min=1, max=65_535, help="Port of the API. [default: 8080, or a free one]")]
GatewayPort = Annotated[
    int | None, typer.Option(min=1, max=65_535, help="Port of the WebSocket gateway. [default: 8081, or a free one]")
]
AnalysePort = Annotated[
    int | None, typer.Option(min=1, max=65_535, help="Port of the reports. [default: 8082, or a free one]")
]
MetricsPort = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=65_529,
        help="First of seven ports for metrics and health, one a process. [default: 8090, or free ones]",
    ),
]
PostgresDsn = Annotated[str | None, typer.Option(help="Use this PostgreSQL 18 instead of an embedded one.")]
ValkeyUrl = Annotated[str | None, typer.Option(help="Use this Valkey instead of an embedded one.")]
KafkaBootstrap = Annotated[str | None, typer.Option(help="Use this Kafka instead of an embedded one.")]


def main() -> None:
    """Run the command line; what a person can mend is one line on stderr and exit code 1."""
    from fillip.app.failure import explain

    try:
        app()
    except FillipError as error:
        _fail(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if (told := explain(error)) is None:
            raise
        _fail(told)


def _fail(message: str) -> None:
    screen.print("[red]fillip:[/] ", end="")
    screen.print(message, markup=False, highlight=False, soft_wrap=True)
    sys.exit(1)


def _tell_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"fillip {version('fillip')}")
        raise typer.Exit


@app.callback()
def choose(
    version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """What stands before a command."""


@app.command()
def up(
    state: StateDir = None,
    api_port: ApiPort = None,
    gateway_port: GatewayPort = None,
    analyse_port: AnalysePort = None,
    metrics_port: MetricsPort = None,
    postgres_dsn: PostgresDsn = None,
    valkey_url: ValkeyUrl = None,
    kafka_bootstrap: KafkaBootstrap = None,
) -> None:
    """Start everything and keep it up: PostgreSQL, Valkey, Kafka and all processes of Fillip. Ctrl-C stops.

    A server whose address is set, by option or in the environment, is used as it is; the others are embedded.

    Examples:

        fillip up

        fillip up --state /var/lib/fillip --api-port 9000

        FILLIP_POSTGRES_DSN=postgresql://fillip:secret@db:5432/fillip fillip up
    """
    from fillip.app.keep import keep_up
    from fillip.app.settings import read_settings

    given = read_settings(
        state_dir=state,
        api_port=api_port,
        gateway_port=gateway_port,
        analyse_port=analyse_port,
        metrics_port=metrics_port,
        postgres_dsn=postgres_dsn,
        valkey_url=valkey_url,
        kafka_bootstrap=kafka_bootstrap,
    )
    keep_up(given, screen)


@app.command()
def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything up afterwards and print the URLs.")] = False,
    state: Annotated[Path, typer.Option("--state", help="Folder for the demo's servers; emptied first.")] = Path(
        ".fillip/demo"
    ),
    kills: Annotated[int, typer.Option(min=0, max=100, help="Kill -9 the worker this often at random moments.")] = 0,
) -> None:
    """Run the main job on a year of real grocery shopping, with a live board, and check the counts.

    Always on embedded servers of its own, whatever servers the environment names.

    Examples:

        fillip demo

        fillip demo --keep

        fillip demo --kills 10
    """
    found = entry_points(group="fillip.commands", name="demo")
    if not found:
        raise Crash("the demo is not installed: it comes with Fillip's wheel, pip install --force-reinstall fillip")
    raise typer.Exit(found["demo"].load()(state, keep=keep, kills=kills))


@app.command()
def doctor(state: StateDir = None) -> None:
    """Tell what is missing or taken on this machine, and how to mend it; how a running instance and external servers are.

    Exit code 1 where something is in the way.

    Examples:

        fillip doctor

        fillip doctor --state /var/lib/fillip
    """
    from fillip.app.doctor import doctor as look
    from fillip.app.doctor import render
    from fillip.app.settings import read_settings
    from fillip.app.up import USUAL_PORTS, find_external

    given = read_settings(state_dir=state)
    checks = look(given.state_dir, USUAL_PORTS, find_external(given))
    Console().print(render(checks))
    raise typer.Exit(0 if all(check.ok for check in checks) else 1)


@app.command()
def migrate() -> None:
    """Bring schema, roles, replication slot and topics of FILLIP_POSTGRES_DSN and FILLIP_KAFKA_BOOTSTRAP up to date.

    Example:

        FILLIP_POSTGRES_DSN=postgresql://fillip:secret@db:5432/fillip FILLIP_KAFKA_BOOTSTRAP=kafka:9092 fillip migrate
    """
    from fillip.app.prepare import prepare
    from fillip.app.running import Found
    from fillip.app.settings import read_settings

    settings = read_settings()
    tell(Found(settings, "from FILLIP_POSTGRES_DSN").describe(kafka=True))
    prepare(settings)


@app.command()
def api() -> None:
    """Run the REST API: POST /v1/events and the control plane.

    Example:

        FILLIP_API_PORT=8080 FILLIP_METRICS_PORT=9100 fillip api
    """
    from fillip.app.api import run_api
    from fillip.app.processes import serve

    serve("api", run_api)


@app.command()
def worker() -> None:
    """Run a worker: decides events. Any number may run.

    Example:

        FILLIP_WORKER_DSN=postgresql://fillip_worker:secret@db:5432/fillip FILLIP_METRICS_PORT=9101 fillip worker
    """
    from fillip.app.processes import serve
    from fillip.app.worker import run_worker

    serve("worker", run_worker)


@app.command()
def publish() -> None:
    """Run publish: announces what the ledger stored. One runs; a second one waits for its slot.

    Example:

        FILLIP_PUBLISH_DSN=postgresql://fillip_publish:secret@db:5432/fillip FILLIP_METRICS_PORT=9102 fillip publish
    """
    from fillip.app.processes import serve
    from fillip.app.publish import run_publish

    serve("publish", run_publish)


@app.command()
def cohort() -> None:
    """Run the cohorts by events: users join and leave them by what they do. Any number may run, one of which leads.

    Examples:

        FILLIP_POSTGRES_DSN=postgresql://fillip:secret@db:5432/fillip FILLIP_METRICS_PORT=9106 fillip cohort
    """
    from fillip.app.cohort import run_cohort
    from fillip.app.processes import serve

    serve("cohort", run_cohort)


@app.command()
def sweep() -> None:
    """Run the sweep: expires and activates what is due, makes coupon codes. Any number may run.

    Example:

        FILLIP_POSTGRES_DSN=postgresql://fillip:secret@db:5432/fillip FILLIP_METRICS_PORT=9103 fillip sweep
    """
    from fillip.app.processes import serve
    from fillip.app.sweep import run_sweep

    serve("sweep", run_sweep)


@app.command()
def gateway() -> None:
    """Run a gateway: WebSocket streams of end customers. Any number may run.

    Example:

        FILLIP_GATEWAY_PORT=8081 FILLIP_ALLOWED_ORIGINS='["https://shop.example"]' fillip gateway
    """
    from fillip.app.gateway import run_gateway
    from fillip.app.processes import serve

    serve("gateway", run_gateway)


@app.command()
def analyse() -> None:
    """Run the Analytics Bay and its reports. One runs.

    Example:

        FILLIP_STATE_DIR=/var/lib/fillip FILLIP_ANALYSE_PORT=8082 fillip analyse
    """
    from fillip.app.analyse import run_analyse
    from fillip.app.processes import serve

    serve("analyse", run_analyse)


app.command()(explain)
app.command()(status)


if __name__ == "__main__":
    main()
