"""A row that can't be announced is set aside, so that all others can: as PostgreSQL writes it, named, with the error."""

from base64 import b64encode
from collections.abc import Sequence

import structlog
from msgspec import Struct, json

from fillip.publish import metrics
from fillip.publish.pgoutput import UNCHANGED, Row

MAX_COLUMN_BYTES = 4_000
"""A larger column is left out, and named in `omitted`: the row itself stays in the ledger."""

MAX_ERROR = 1_000
NAMING = (
    "tenant_id", "user_id", "decision_id", "incentive_id", "inbox_seq", "rejection_id", "campaign_id", "instance_key",
    "occurrence", "limit_id", "key", "window_start", "book_version",
)  # fmt: skip
"""Columns that tell the operator which row it is; each as far as its table has it, its first MAX_NAME characters."""

MAX_NAME = 100
TOLD_AT_ONCE = 5
"""Rows that are named in the log, of those set aside together; the topic names all."""

log = structlog.get_logger()


class Aside(Struct, frozen=True):
    """What the operator is told of a row that was set aside: `commit_lsn` is 0 for one that comes from no WAL."""

    table: str
    named: dict[str, str]
    error: str
    commit_lsn: int = 0


class _Written(Struct, frozen=True):
    op: str
    error: str
    row: dict[str, str | None]
    omitted: list[str]


def describe_aside(row: Row | bytes, error: Exception, commit_lsn: int = 0) -> Aside:
    """`row` is the WAL's message where it can't even be decoded. Never raises."""
    said = f"{type(error).__name__}: {error}"[:MAX_ERROR]
    if isinstance(row, bytes):
        return Aside("", {}, said, commit_lsn)
    columns = zip(row.relation.columns, row.values, strict=False)
    named = {c.name: _decode_text(v)[:MAX_NAME] for c, v in columns if c.name in NAMING and isinstance(v, bytes)}
    return Aside(row.relation.name, named, said, commit_lsn)


def write_aside(row: Row | bytes, aside: Aside, source: bytes) -> bytes:
    """The message that stands for the announcement: `row` has each column as text. Never raises."""
    if isinstance(row, bytes):
        wal = b64encode(row[:MAX_COLUMN_BYTES]).decode()
        written = _Written("", aside.error, {"wal": wal}, [])
    else:
        columns = [(c.name, v) for c, v in zip(row.relation.columns, row.values, strict=False)]
        omitted = [name for name, v in columns if v is UNCHANGED or (v and len(v) > MAX_COLUMN_BYTES)]
        texts = {name: _decode_text(v) if isinstance(v, bytes) else None for name, v in columns if name not in omitted}
        written = _Written(row.op, aside.error, texts, omitted)
    return b"%b,%b}" % (json.encode(written)[:-1], source)


def _decode_text(value: bytes) -> str:
    return value.decode(errors="replace")


def tell_asides(asides: Sequence[Aside]) -> None:
    """Count them, and name the first few in the log."""
    for aside in asides:
        metrics.set_aside.labels(aside.table).inc()
    for aside in asides[:TOLD_AT_ONCE]:
        row = " ".join(f"{name}={value!r}" for name, value in aside.named.items())
        log.error("row set aside, table=%s %s lsn=%X: %s", aside.table, row, aside.commit_lsn, aside.error)
    if len(asides) > TOLD_AT_ONCE:
        log.error("and %d rows more were set aside with them", len(asides) - TOLD_AT_ONCE)
