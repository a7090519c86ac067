"""Processes of a set that are killed at random by kill -9, each in the midst of what is proved, and begin again at once."""

import asyncio
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from fillip.app.up import Stack, stop_on_signals
from fillip.figures import Figure, open_screen, show_figures
from tests.proof.forking import forking_stack

GIVE_UP_S = 120.0
"""Nothing that is waited for takes longer."""
Tell = Callable[[str], None]


async def kill_on(
    stack: Stack,
    victims: Sequence[str],
    kills: int,
    *,
    begin: Callable[[], Callable[[], bool]],
    moment_s: float,
    describe: Callable[[], str],
    tell: Tell,
) -> Counter[str]:
    """Kill so many, and count each. `begin` is asked before each kill for what says when it is time, which then comes within `moment_s`;
    `describe` tells how far all is.
    """
    killed, began_at = Counter[str](), time.monotonic()
    for number in range(1, kills + 1):
        is_time, give_up_at = begin(), time.monotonic() + GIVE_UP_S
        while not is_time():
            assert time.monotonic() < give_up_at, f"nothing goes on any more: {describe()}"
            await asyncio.sleep(0.002)
        await asyncio.sleep(random.uniform(0, moment_s))
        name = random.choice(victims)
        await asyncio.to_thread(stack.kill, name)
        stack.spawn(name)
        killed[name] += 1
        if number % 10 == 0:
            took_s = (time.monotonic() - began_at) / number
            tell(f"{number} kills: {dict(killed)}, {took_s:.1f} s each, {describe()}")
    return killed


def prove_on_own_set(
    prove: Callable[[Stack, int, Tell], Coroutine[Any, Any, list[Figure]]], kills: int, tell: Tell
) -> list[Figure]:
    """What a proof comes to on a set of its own."""
    with forking_stack() as stack:
        return asyncio.run(prove(stack, kills, tell))


def run_proof(title: str, name: str, prove: Callable[[int, Tell], list[Figure]], kills: int) -> int:
    """Run a proof with so many kills, or as many as the command line says; 0 when every figure holds."""
    screen = open_screen()
    with stop_on_signals():
        figures = prove(
            int(sys.argv[1]) if len(sys.argv) > 1 else kills,
            lambda said: screen.print(f"[dim]{said}[/]", highlight=False),
        )
        return 0 if show_figures(title, name, figures, screen) else 1
