"""`fillip doctor` tells what is missing or taken, and how to mend it."""

import io
import socket
from pathlib import Path

import pytest
from rich.console import Console

from fillip.app.doctor import Check, check_disk, doctor, render
from fillip.embedded.ports import choose_free_port
from fillip.embedded.state import StateFolder


def name_bad(checks: list[Check]) -> list[str]:
    bad = [check for check in checks if not check.ok]
    print(*bad, sep="\n")  # shown by a test that fails
    return [check.name for check in bad]


def test_all_is_well_here(tmp_path: Path) -> None:
    checks = doctor(tmp_path / "state", {"api": choose_free_port()})
    assert name_bad(checks) == []
    assert not (tmp_path / "state").exists()  # it looks only
    found = {check.name: check.found for check in checks}
    assert "PostgreSQL) 18" in found["PostgreSQL"]
    assert found["Valkey"].startswith("Valkey server v=9")


def test_a_taken_port_names_its_owner(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        checks = doctor(tmp_path, {"api": port})
    assert name_bad(checks) == [f"port {port} (api)"]
    bad = next(check for check in checks if not check.ok)
    assert "pid" in bad.found
    assert "choose another port" in bad.mend


def test_a_held_state_folder_names_its_holder(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path)
    folder.acquire()
    checks = doctor(tmp_path, {})
    folder.release()
    assert name_bad(checks) == ["state folder"]


def test_a_changed_jar_and_an_absent_network_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FILLIP_CACHE", str(tmp_path))
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert name_bad(doctor(tmp_path / "state", {})) == ["Kafka"]
    (tmp_path / "kafka-4.3.1" / "jars").mkdir(parents=True)
    bad = next(check for check in doctor(tmp_path / "state", {}) if not check.ok)
    assert "missing or not the jar we know" in bad.found
    assert bad.mend.startswith("delete ")


def test_an_unusable_state_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert name_bad(doctor(tmp_path / "file", {})) == ["state folder"]


def test_a_full_disk_is_told() -> None:
    assert check_disk("disk", Path("/proc")).ok is False  # a file system without space


def test_the_table_shows_each_line_and_its_mending() -> None:
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(render([Check("a", True, "fine"), Check("b", False, "broken", "mend it so")]))
    text = console.export_text()
    assert "fine" in text
    assert "mend it so" in text
