"""What the process that runs a query is told, and what it tells."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct

from fillip.analyse.day_files.tenant_files import FileGroup

Form = Literal["json", "csv", "parquet", "users", "nothing", "history"]
"""Of an answer's file. `users`: CSV, the one column as `user_id`, each once, none of them null. `nothing`: the query is checked
as one of users, and not run. `history`: lines of JSON, of a SELECT of ours, for which events have their places in the log."""


class Bounds(Struct, frozen=True):
    """What a query may take; `memory_mb` is DuckDB's."""

    rows: int
    bytes: int
    within_s: int
    memory_mb: int


ANALYSTS = Bounds(rows=10_000, bytes=16 * 1024 * 1024, within_s=30, memory_mb=512)
"""For a person who waits."""
COHORTS = Bounds(rows=20_000_000, bytes=2 * 1024 * 1024 * 1024, within_s=300, memory_mb=1_024)
"""For a list of users, of whom all are wanted."""
BACKTESTS = Bounds(rows=250_000, bytes=256 * 1024 * 1024, within_s=120, memory_mb=1_024)
"""For a part of the past."""
LIVE = Bounds(rows=1_000, bytes=1024 * 1024, within_s=5, memory_mb=512)
"""For a figure that is asked for again and again."""


class Task(Struct, frozen=True):
    """A SELECT, the tenant's files (see TenantFiles) and where the answer is to be written.

    `given` are Parquet files of ours that the SELECT may read beside the views, by the name it has for them; `parameters` are
    those of a SELECT of ours.
    """

    sql: str
    groups: Mapping[str, Sequence[FileGroup]]
    struck: str | None
    form: Form
    answer: str
    bounds: Bounds
    given: Mapping[str, str] = {}
    parameters: Mapping[str, Any] = {}


class Column(Struct, frozen=True):
    """A column of an answer; `type` as DuckDB names it."""

    name: str
    type: str


class Outcome(Struct, frozen=True):
    """The columns and the number of rows; or why there is no answer, and where in the text (line:column) as far as known."""

    columns: Sequence[Column] = ()
    row_count: int = 0
    refused: str | None = None
    at: str | None = None
    stopped: bool = False
    """Whether it ran, and took more than it may."""
