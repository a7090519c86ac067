"""The demo from start to report."""

import logging
import time
from pathlib import Path

import uvloop

from fillip.app.keep import build_report
from fillip.app.up import DOORS, Stack, stop_on_signals
from fillip.client.api import ApiClient
from fillip.embedded import jars
from fillip.embedded.ports import choose_free_port
from fillip.figures import Figure, open_screen, tabulate, write_figures
from fillip_demo.book import set_up_grocer, set_up_probe
from fillip_demo.demo_stack import DemoStack
from fillip_demo.latency import FOR_S, PER_S, USERS, measure_latency
from fillip_demo.memory import measure_memory
from fillip_demo.postgres import Ledger
from fillip_demo.sample import TENANT
from fillip_demo.state import choose_state
from fillip_demo.writing import measure_writing
from fillip_demo.year import replay_year


def run_demo(state: Path, *, keep: bool, kills: int) -> int:
    """Run the main job on real data; 0 when every expected count holds, else 1. Raises FillipError, KeyboardInterrupt.

    `keep` leaves all up until Ctrl-C; `kills` is how often the worker is killed (-9) during the replay.
    """
    screen, began = open_screen(), time.monotonic()
    report, first = build_report(screen, began), not jars.is_ready()
    ports = {name: choose_free_port() for name in DOORS}  # the usual ones are left to `fillip up`
    with stop_on_signals(), Stack(choose_state(state), report, ports) as stack:
        logging.basicConfig(filename=stack.state_dir / "log" / "demo.log", level=logging.INFO, force=True)
        with ApiClient(stack.doors.api, stack.settings.operator_key or "") as operator:
            grocer_key = set_up_grocer(operator, stack.doors.api, report)
            probe_key = set_up_probe(operator, stack.doors.api)
        demo = DemoStack(stack, screen, began, grocer_key, probe_key, first)
        held = uvloop.run(_perform(demo, kills))
        if keep:
            screen.print(describe(stack, grocer_key), markup=False, highlight=False, soft_wrap=True)
            try:
                while True:
                    time.sleep(1)
                    stack.revive()
            except KeyboardInterrupt:
                screen.print("stopping")
    return 0 if held else 1


def describe(stack: Stack, key: str) -> str:
    """What to do with a demo that was left up: URLs, the key, and commands to paste into another terminal."""
    api, reports = stack.doors.api, stack.doors.analyse
    ask = '  curl -s -H "$H"'
    return f"""
The demo is still up, in {stack.state_dir}. Ctrl-C stops it.

  API, with its documentation  {api}/docs
  WebSocket gateway            {stack.doors.gateway}/v1/stream
  reports                      {reports}/v1/reports/campaign-days

Look around as tenant {TENANT}, in another terminal:

  H="Authorization: Bearer {key}"
{ask} "{api}/v1/campaigns?limit=3"
{ask} "{api}/v1/users/h2337/inbox?limit=3"
{ask} "{api}/v1/limits/cashback-daily/usage?limit=3"
{ask} "{api}/v1/decisions?outcome=denied&limit=3"
{ask} "{api}/v1/decisions/DECISION_ID/explain"
{ask} "{reports}/v1/reports/campaign-days?campaign_id=cashback"
"""


async def _perform(demo: DemoStack, kills: int) -> bool:
    """Replay, check, measure; each table is shown as soon as it is known. Whether every count holds."""
    settings, screen = demo.stack.settings, demo.screen
    async with Ledger(settings.owner_dsn, demo.topics.received) as ledger:
        counts, measures = await replay_year(demo, ledger, kills)
        screen.print(tabulate("Counts, against an independent answer key", counts))
        write_figures("demo", [*counts, *measures])
        screen.print("tidying up after the import: VACUUM (ANALYZE), CHECKPOINT")
        await ledger.tidy_up()
        measures += await _measure_probe(demo, ledger)
    measures += measure_memory(demo.stack.pids())  # without the connections by which the demo looked at the ledger
    screen.print(tabulate("Measures", measures))
    path = write_figures("demo", [*counts, *measures])
    held = all(figure.ok for figure in counts)
    verdict = "[bold green]every expected count holds[/]" if held else "[bold red]a count does not hold[/]"
    screen.print(f"{verdict}; figures in {path}", highlight=False)
    return held


async def _measure_probe(demo: DemoStack, ledger: Ledger) -> list[Figure]:
    demo.screen.print(
        f"measuring latency: {PER_S} events/s for {FOR_S} s to {USERS} phones; the board rests so as not to disturb"
    )
    topic = demo.topics.received
    async with demo.open_producer(linger_ms=0) as producer:
        figures = await measure_latency(producer, topic, demo.stack.doors.api, demo.probe_key)
        demo.screen.print("measuring what PostgreSQL writes for an event")
        return figures + await measure_writing(producer, topic, ledger)
