"""What the process of a backtest tells, line by line."""

from collections.abc import Sequence
from typing import Any, TypeAlias

from msgspec import Struct

from fillip.core.backtest.result import Result


class Progress(Struct, frozen=True, tag="progress"):
    """So many events are done, of so many that there were when it began."""

    events_done: int
    events: int


class Worked(Struct, frozen=True, tag="worked"):
    """It is done: the result, and explanations of some decisions."""

    result: Result
    samples: Sequence[Any] = ()


class Failed(Struct, frozen=True, tag="failed"):
    """It is not done, and why; `is_final`: another try would end so too."""

    error: str
    is_final: bool


Told: TypeAlias = Progress | Worked | Failed
