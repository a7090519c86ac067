"""Ports, the state folder and the jars: no server needed."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from fillip.core.errors import Crash
from fillip.embedded.errors import ServerFailed
from fillip.embedded.jars import build_java, check_jars, fetch_jars, locate_cache, read_checksums
from fillip.embedded.ports import check_free, choose_free_port, claim_port, find_port_owner, require_free_port
from fillip.embedded.state import StateFolder, read_holder


def test_a_taken_port_is_named_with_its_owner() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert not check_free(port)
        assert f"(pid {os.getpid()})" in str(find_port_owner(port))
        with pytest.raises(Crash, match=rf"port {port} for api is in use by .*pid {os.getpid()}"):
            require_free_port(port, "api")
    require_free_port(port, "api")


def test_a_chosen_port_is_free_and_kept_from_other_instances() -> None:
    port = choose_free_port()
    assert check_free(port)
    assert claim_port(port)  # a set that starts again in this process takes its own port back
    elsewhere = f"import sys; from fillip.embedded.ports import claim_port; sys.exit(claim_port({port}))"
    assert subprocess.run([sys.executable, "-c", elsewhere], check=False).returncode == 0


def test_ports_are_remembered_while_free(tmp_path: Path) -> None:
    names = ["postgres", "kafka"]
    given = StateFolder(tmp_path).allot_ports(names)
    assert StateFolder(tmp_path).allot_ports(names) == given
    with socket.create_server(("127.0.0.1", given["kafka"])):
        again = StateFolder(tmp_path).allot_ports(names)
    assert again["postgres"] == given["postgres"]
    assert again["kafka"] not in given.values()


def test_passwords_stay_and_only_we_may_read_them(tmp_path: Path) -> None:
    file = StateFolder(tmp_path).locate_secret("valkey")
    assert StateFolder(tmp_path).locate_secret("valkey").read_text() == file.read_text()
    assert len(file.read_text()) >= 32
    assert file.stat().st_mode & 0o777 == 0o600


def test_one_holder_at_a_time_and_doctor_sees_who(tmp_path: Path) -> None:
    first, second = StateFolder(tmp_path), StateFolder(tmp_path)
    assert read_holder(tmp_path) is None
    first.acquire()
    assert read_holder(tmp_path) == str(os.getpid())
    with pytest.raises(ServerFailed, match=f"in use by process {os.getpid()}"):
        second.acquire()
    first.release()
    assert read_holder(tmp_path) is None
    second.acquire()
    second.release()


def test_a_full_disk_is_told_before_anything_starts(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path, lowest_free_bytes=10**18)
    with pytest.raises(ServerFailed, match=r"only \d+ MB free on the disk of"):
        folder.acquire()
    assert read_holder(tmp_path) is None


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ServerFailed, match="cannot write to the state folder"):
        StateFolder(tmp_path / "file" / "state").acquire()


def test_a_changed_or_missing_jar_is_refused(tmp_path: Path) -> None:
    build_java(lambda step, detail: None)  # fetches them where no test did before
    for name in read_checksums():
        shutil.copyfile(locate_cache() / "jars" / name, tmp_path / name)
    assert len(check_jars(tmp_path)) == len(read_checksums())
    with (tmp_path / "jopt-simple-5.0.4.jar").open("r+b") as jar:
        jar.write(b"x")
    with pytest.raises(ServerFailed, match=r"jopt-simple-5\.0\.4\.jar is missing or not the jar we know"):
        check_jars(tmp_path)
    (tmp_path / "jopt-simple-5.0.4.jar").unlink()
    with pytest.raises(ServerFailed, match="jopt-simple"):
        check_jars(tmp_path)


def test_without_network_the_fetch_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with pytest.raises(ServerFailed, match="jars can't be fetched.*check the network"):
        fetch_jars(tmp_path)
    assert list(tmp_path.iterdir()) == []
