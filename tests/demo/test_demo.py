"""The demo's own parts: what it counts, shows, empties and would notice. The whole of it runs by `make demo`."""

import fcntl
import io
import os
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest
from rich.console import Console

from fillip.client.phone import Incentive, Phone, Trace
from fillip.core.errors import Crash
from fillip_demo.board import draw_board, write_line
from fillip_demo.checks import DOUBTS, is_whole
from fillip_demo.latency import STEPS, Journey, Recorder, report_latency
from fillip_demo.memory import measure_memory, measure_tree
from fillip_demo.postgres import Ledger
from fillip_demo.state import choose_state
from fillip_demo.tally import Tally, percentile
from fillip_demo.year import choose_phone_users


def test_percentiles_are_values_that_occurred() -> None:
    values = [float(n) for n in range(1, 101)]

    assert percentile(values, 0.5) == 50 and percentile(values, 0.99) == 99 and percentile([7.0], 0.99) == 7
    assert percentile([], 0.5) == 0


async def test_the_board_shows_progress_refusals_and_campaigns() -> None:
    tally = Tally(total=164_539, phones=20)
    tally.sent, tally.settled, tally.told, tally.frames = 90_000, 70_000, 12, 9
    tally.outcomes.update({("cashback", "granted", "granted"): 8_123, ("cashback", "denied", "limit"): 359})
    tally.latencies_ms += [4.0, 5.0, 2_400.0]

    shown = _render(draw_board(tally, (9_000.0, 8_000.0)))

    for wanted in (
        "70,000 of 164,539",
        "20,000 events",
        "3 frames",
        "8,123",
        "refused: limit",
        "359",
        "p50 5 ms",
        "2.4 s",
    ):
        assert wanted in shown
    assert "sent 90,000 (9,000/s)" in write_line(tally, (9_000.0, 8_000.0))


def test_a_state_folder_is_emptied_but_for_what_finds_leftovers(tmp_path: Path) -> None:
    state = tmp_path / "demo"
    (state / "kafka").mkdir(parents=True)
    for name in ("lock", "pids.json", "operator.key", "kafka/data"):
        (state / name).touch()

    assert choose_state(state) == state
    assert {entry.name for entry in state.iterdir()} == {"lock", "pids.json"}


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    state = tmp_path / "demo"
    state.mkdir()
    (state / "precious").touch()
    with (state / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        assert choose_state(state) == tmp_path / "demo-2"
    assert (state / "precious").exists()


def test_a_folder_of_something_else_is_never_emptied(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()

    with pytest.raises(Crash, match="choose another --state"):
        choose_state(tmp_path)
    assert (tmp_path / "thesis.tex").exists()


def test_the_steps_of_a_frame_add_up_to_its_whole_way() -> None:
    recorder = Recorder()
    recorder.sent_us["tap-0"] = 10_000_000
    trace = Trace(10_001_000, 10_003_000, 10_005_000, 10_006_000, 10_008_000, 10_009_000)

    recorder.watch(Incentive("i", "tap-0"), trace, 10_010_000)
    recorder.watch(Incentive("j", "tap-0"), None, 10_010_000)  # by replay: its steps are unknown
    figures = report_latency(recorder.journeys, 0)

    assert [figure.got for figure in figures[:2]] == [10.0, 10.0]
    shares = [figure.got for figure in figures if figure.name.startswith("share of")]
    assert len(shares) == len(STEPS) and sum(map(float, shares)) == pytest.approx(100)


def test_the_first_seconds_are_told_apart() -> None:
    slow_start = Journey((1_000_000,) * 7 + (1_900_000,))
    steady = Journey((9_000_000,) * 7 + (9_005_000,))

    by_name = {figure.name: figure.got for figure in report_latency([slow_start, steady], 0)}

    assert by_name["event to frame at 500/s: p99"] == 5
    assert by_name["event to frame at 500/s, first 5 s: p99"] == 900


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="there is no /proc here")
def test_memory_counts_children_too() -> None:
    child = subprocess.Popen([sys.executable, "-c", "x = bytearray(80_000_000); print(1, flush=True); input()"],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip
    assert child.stdout is not None and child.stdout.readline() == b"1\n"
    alone, both = measure_tree(child.pid), measure_tree(os.getpid())
    figures = measure_memory({"worker": child.pid, "other": child.pid})
    child.communicate(b"\n")

    assert 80_000_000 < alone < both
    *each, whole, counted_twice = [float(figure.got) for figure in figures]
    assert len(each) == 2 and counted_twice == pytest.approx(sum(each), abs=0.2)
    assert 2 * 80 < whole < counted_twice  # the child shares the interpreter with this process


async def test_an_inbox_with_a_gap_or_a_repeat_is_not_whole() -> None:
    phone = Phone("http://127.0.0.1:1", "key", "ada", lambda *told: None)
    phone.received = [(1, "a"), (2, "b")]

    assert is_whole(phone, [(1, "a"), (2, "b")])
    assert not is_whole(phone, [(1, "a"), (2, "b"), (3, "c")])
    phone.received = [(1, "a"), (3, "c")]
    assert not is_whole(phone, [(1, "a"), (3, "c")])


def test_phones_belong_to_twenty_different_households() -> None:
    users = choose_phone_users()

    assert len(set(users)) == 20 and users[0] == "h2337"


FAULTS = {
    "rejected": "INSERT INTO rejection (rejection_id, tenant_id, topic, partition, log_offset, reason, detail,"
    " original, received_at) VALUES (uuidv7(), 'acme', 't', 0, 0, 'undecodable', '', '', now())",
    "needless": "UPDATE decision SET limits = jsonb_set(limits, '{0,cap}', '9') WHERE outcome = 'denied'",
    "over_cap": "UPDATE spending_limit SET cap = 0",
    "miscounted": "UPDATE limit_counter SET used = 0",
    "unpaid": "UPDATE decision SET outcome = 'granted', reason = 'granted' WHERE outcome = 'denied'",
    "untold": "DELETE FROM inbox",
    "gapped": "UPDATE inbox SET seq = 2",
}


@pytest.mark.parametrize("doubt", DOUBTS)
async def test_each_doubt_is_found_when_it_is_planted(database: str, doubt: str) -> None:
    owner = await asyncpg.connect(database)
    await owner.execute(Path(__file__).with_name("one_grant.sql").read_text())
    async with Ledger(database, "event.received") as ledger:
        assert set((await ledger.count_doubts("acme")).values()) == {0}

        await owner.execute(FAULTS[doubt])

        assert (await ledger.count_doubts("acme"))[doubt] == 1
    await owner.close()


def _render(what: object) -> str:
    screen = Console(width=110, file=io.StringIO(), record=True)
    screen.print(what)
    return screen.export_text()
