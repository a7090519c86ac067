"""What no decision waits for lets the others run first."""

import subprocess
import sys

import pytest

from fillip.app.giving_way import AUTOGROUP, NICE

WEIGHED = pytest.mark.skipif(not AUTOGROUP.exists(), reason="this system does not weigh sessions")
IN_A_THREAD = """
import os, subprocess, sys, threading
from fillip.app.giving_way import give_way
os.nice(int(sys.argv[1]))
give_way()
look = "import os; print(os.getpriority(os.PRIO_PROCESS, 0))"
thread = threading.Thread(target=lambda: print(os.getpriority(os.PRIO_PROCESS, 0), flush=True))
thread.start(), thread.join()
subprocess.run([sys.executable, "-c", look])
"""
IN_A_SESSION = """
from pathlib import Path
from fillip.app.giving_way import give_way
give_way()
print(Path("/proc/self/autogroup").read_text().rpartition(" ")[2])
"""
IN_THE_SESSION_OF_ANOTHER = """
import subprocess, sys
subprocess.run([sys.executable, "-c", sys.argv[1]], check=True)
"""


def run(code: str, *arguments: str) -> list[int]:
    """The numbers that a process prints, in a session of its own: the one that tests run in may not be weighed at all."""
    command = [sys.executable, "-c", code, *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, start_new_session=True)
    return [int(word) for word in ended.stdout.split()]


def test_what_gives_way_does_so_with_its_threads_and_what_it_starts() -> None:
    assert run(IN_A_THREAD, "0") == [NICE, NICE]


def test_what_was_told_to_give_way_more_goes_on_doing_so() -> None:
    assert run(IN_A_THREAD, "12") == [12, 12]


@WEIGHED
def test_its_session_gives_way_with_it() -> None:
    assert run(IN_A_SESSION) == [NICE]


@WEIGHED
def test_a_session_that_it_shares_stays_as_it_is() -> None:
    assert run(IN_THE_SESSION_OF_ANOTHER, IN_A_SESSION) == [0]
