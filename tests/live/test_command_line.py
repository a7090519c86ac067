"""`fillip` as a person at a terminal meets it: one clear line when something is in the way, and a clean stop."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import typer

from fillip.app.cli import app
from fillip.app.settings import Settings
from fillip.client.api import ApiClient
from fillip.embedded.addresses import Addresses
from tests.conftest import swap_database
from tests.live.running import choose_ports

pytestmark = pytest.mark.xdist_group("live")

FILLIP = [sys.executable, "-m", "fillip.app.cli"]
WITHIN_S = 90


def run_fillip(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end, without any settings in the environment."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith("FILLIP_")}
    return subprocess.run([*FILLIP, *arguments], capture_output=True, text=True, timeout=WITHIN_S, env=bare)


def assert_one_clear_line(done: subprocess.CompletedProcess[str], *said: str) -> None:
    assert done.returncode == 1
    lines = [line for line in done.stderr.strip().splitlines() if line.startswith("fillip:")]
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr
    for part in said:
        assert part in lines[0]


@contextmanager
def running_up(state: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`fillip up` in a process of its own, and the API's URL that it printed; killed if it still runs at the end."""
    ports = [part for name, port in choose_ports().items() for part in (f"--{name}-port", str(port))]
    with subprocess.Popen([*FILLIP, "up", "--state", str(state), *ports], stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr
            said = []
            for line in process.stderr:
                said.append(line)
                if found := re.search(r"API +(http://\S+)/docs", line):
                    break
            assert found, "".join(said)
            yield process, found[1]
        finally:
            if process.poll() is None:
                process.kill()


def press_ctrl_c(process: subprocess.Popen[str]) -> str:
    """Interrupt it, wait for its end, give what it said last."""
    process.send_signal(signal.SIGINT)
    rest = process.communicate(timeout=WITHIN_S)[1]
    assert process.returncode == 0, rest
    return rest


def test_ctrl_c_stops_all_and_starting_again_resumes(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with running_up(state) as (process, api):
        key = run_fillip("tenants", "create", "acme", "--state", str(state)).stdout.strip()
        with ApiClient(api, key) as client:
            client.put("/v1/actions/BUY", {"schema": {"type": "object", "properties": {}}})
        quotas = run_fillip("tenants", "quotas", "acme", "lists=3", "--state", str(state)).stdout
        assert re.search(r"^lists +3 +\(default 100\) +0 used$", quotas, re.MULTILINE), quotas
        assert_one_clear_line(run_fillip("tenants", "quotas", "acme", "list=3", "--state", str(state)), "list")
        assert_one_clear_line(run_fillip("up", "--state", str(state)), str(state), str(process.pid))
        assert "the state is kept" in press_ctrl_c(process)
    assert find_processes(state) == []

    with running_up(state) as (process, api):
        with ApiClient(api, key) as client:
            assert client.get("/v1/actions/BUY")["name"] == "BUY"
        press_ctrl_c(process)
    assert find_processes(state) == []


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = run_fillip("up", "--state", str(tmp_path / "state"), "--api-port", port)
    assert_one_clear_line(done, port, "in use")
    assert find_processes(tmp_path) == []


@pytest.mark.parametrize("process", ["api", "worker", "publish", "sweep", "gateway", "analyse", "cohort", "migrate"])
def test_a_missing_setting_is_named(process: str) -> None:
    assert_one_clear_line(run_fillip(process), "FILLIP_POSTGRES_DSN")


def test_a_server_that_is_away_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
    dsn = f"postgresql://fillip:secret@{address}/fillip"
    done = run_fillip("up", "--state", str(tmp_path / "state"), "--postgres-dsn", dsn)
    assert_one_clear_line(done, "PostgreSQL", address)
    assert "secret" not in done.stderr


def test_nothing_runs_here(tmp_path: Path) -> None:
    assert_one_clear_line(run_fillip("tenant", "create", "acme", "--state", str(tmp_path)), "fillip up")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["campaigns", "list"], 2, "FILLIP_KEY"),
        (["campaigns", "list", "--key", "k", "--url", "127.0.0.1:1"], 1, "no address of an API"),
        (["campaigns", "list", "--key", "k", "--url", "http://127.0.0.1:1"], 1, "Connection refused; is the API up"),
        (["events", "send", "nothing.ndjson", "--key", "k"], 1, "nothing.ndjson can't be read: No such file"),
        (["explain", "--key", "k"], 2, "--decision"),
        (["keys", "create"], 2, "--url"),
    ],
)
def test_a_command_that_can_reach_no_api_says_what_is_in_the_way(words: list[str], code: int, said: str) -> None:
    done = run_fillip(*words)
    assert done.returncode == code and said in done.stderr and "Traceback" not in done.stderr


def test_the_version_is_told_and_the_shell_can_complete() -> None:
    assert run_fillip("--version").stdout == f"fillip {version('fillip')}\n"
    completed = subprocess.run(
        Path(sys.executable).with_name("fillip"),
        capture_output=True,
        text=True,
        env=os.environ | {"_FILLIP_COMPLETE": "complete_bash", "COMP_WORDS": "fillip ev", "COMP_CWORD": "1"},
    )
    assert completed.stdout.split() == ["events"]


def find_processes(folder: Path) -> list[str]:
    """Command lines that name the folder: servers that were left behind."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # ended meanwhile
        if str(folder) in command and str(os.getpid()) != entry.parent.name:
            found.append(command)
    return found


@contextmanager
def set_in_environment(**values: Any) -> Iterator[dict[str, str]]:
    """An environment with these settings, and no others."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith("FILLIP_")}
    yield bare | {f"FILLIP_{name.upper()}": str(value) for name, value in values.items()}


def run_with(environment: dict[str, str], *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*FILLIP, *arguments], capture_output=True, text=True, timeout=WITHIN_S, env=environment, cwd=folder
    )


def test_a_tenant_is_made_on_the_servers_that_the_environment_names(database: str, tmp_path: Path) -> None:
    # given an instance that seems to run in the usual folder
    state = tmp_path / ".fillip" / "state"
    state.mkdir(parents=True)
    (state / "settings.json").write_text(
        Settings(postgres_dsn="postgresql://me:hidden@127.0.0.1:1/x").model_dump_json()
    )
    with set_in_environment(postgres_dsn=database) as environment:
        done = run_with(environment, "tenants", "create", "acme", folder=tmp_path)
        more = run_with(environment, "keys", "create", "acme", folder=tmp_path)
        quotas = run_with(environment, "tenants", "quotas", "acme", folder=tmp_path)
        named = run_with(environment, "keys", "create", "acme", "--state", str(state), folder=tmp_path)
    assert (done.returncode, more.returncode, quotas.returncode) == (0, 0, 0), done.stderr
    assert done.stdout.startswith("fk_live_")
    where = database.rpartition("@")[2]
    assert f"on PostgreSQL at {where} (from FILLIP_POSTGRES_DSN)" in done.stderr
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT tenant_id FROM tenant").fetchall() == [("acme",)]
    # --state is a word said aloud: it stands above the environment
    assert named.returncode == 1
    assert "127.0.0.1:1/x (the instance in" in named.stderr
    assert "hidden" not in named.stderr


def test_positions_are_those_of_the_servers_that_the_environment_names(
    database: str, servers: Addresses, tmp_path: Path
) -> None:
    prefix = f"{uuid4().hex[:8]}."
    settings = {"kafka_bootstrap": servers.kafka_bootstrap, "topic_prefix": prefix, "partitions": 2}
    with set_in_environment(postgres_dsn=database, **settings) as environment:
        migrated = run_with(environment, "migrate", folder=tmp_path)
        shown = run_with(environment, "positions", "show", folder=tmp_path)
    with set_in_environment(postgres_dsn=swap_database(database, "no_such_database"), **settings) as environment:
        wrong = run_with(environment, "positions", "show", folder=tmp_path)
    for done in (migrated, shown):
        assert done.returncode == 0, done.stderr
        assert f"Kafka at {servers.kafka_bootstrap} (from FILLIP_POSTGRES_DSN)" in done.stderr
    assert_one_clear_line(wrong, "no_such_database")


@pytest.mark.parametrize(
    ("command", "wrong"),
    [
        *(
            (command, wrong)
            for command in ("migrate", "tenants create acme", "tenants quotas acme", "worker")
            for wrong in ("database", "password")
        ),
        ("up", "database"),
        ("keys create acme", "port"),
    ],
)
def test_a_wrong_database_login_or_port_is_one_line(
    database: str, servers: Addresses, tmp_path: Path, command: str, wrong: str
) -> None:
    dsn = {
        "database": swap_database(database, "no_such_database"),
        "password": re.sub(r":[^:@]+@", ":hidden@", database),
        "port": re.sub(r":\d+/", ":99999/", database),
    }[wrong]
    with set_in_environment(
        postgres_dsn=dsn,
        valkey_url=servers.valkey_url,
        kafka_bootstrap=servers.kafka_bootstrap,
        state_dir=tmp_path / "s",
    ) as environment:
        done = run_with(environment, *command.split(), folder=tmp_path)
    said = {"database": "no_such_database", "password": "password", "port": "FILLIP_POSTGRES_DSN"}[wrong]
    assert_one_clear_line(done, said)
    assert "hidden" not in done.stderr + done.stdout


@pytest.mark.parametrize("port", ["99999", "0", "eighty"])
def test_a_port_that_is_none_is_wrong_use(tmp_path: Path, port: str) -> None:
    done = run_fillip("up", "--state", str(tmp_path), "--api-port", port)
    assert done.returncode == 2
    assert "--api-port" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_taken_metrics_port_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = run_fillip("up", "--state", str(tmp_path / "state"), "--metrics-port", port)
    assert_one_clear_line(done, port, "--metrics-port")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_in_the_background_of_a_script_it_stops_when_told_to(tmp_path: Path, how: signal.Signals) -> None:
    # given a shell that starts it with &, which lets it ignore SIGINT
    state = tmp_path / "state"
    ports = [part for name, port in choose_ports().items() for part in (f"--{name}-port", str(port))]
    script = 'trap "" INT; "$@" & echo $!; wait $!; echo "ended with $?"'
    command = ["sh", "-c", script, "sh", *FILLIP, "up", "--state", str(state), *ports]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as shell:
        assert shell.stdout
        assert shell.stderr
        pid = int(shell.stdout.readline())
        try:
            said = []
            for line in shell.stderr:
                said.append(line)
                if "stop  " in line:
                    break
            assert (
                len(
                    re.findall(
                        r"http://127\.0\.0\.1:\d+/metrics +(?:api|gateway|publish|worker|sweep|analyse|cohort)\b",
                        "".join(said),
                    )
                )
                == 7
            )
            # when
            os.kill(pid, how)
            rest = shell.communicate(timeout=WITHIN_S)[0]
        finally:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    # then
    assert rest == "ended with 0\n"
    assert find_processes(state) == []


def list_helps(command: Any, *names: str) -> Iterator[tuple[str, str]]:
    """(the words of a command, its help) of every command below a group."""
    for name, each in getattr(command, "commands", {}).items():
        if each.hidden:
            continue
        yield from list_helps(each, *names, name)
    if not hasattr(command, "commands"):
        yield " ".join(names), command.help or ""


def test_the_help_of_each_command_has_an_example() -> None:
    helps = dict(list_helps(typer.main.get_command(app)))
    assert {"up", "tenants create", "events send", "positions restart"} <= helps.keys()
    for words, text in helps.items():
        assert f"fillip {words}" in text.partition("Example")[2], words
