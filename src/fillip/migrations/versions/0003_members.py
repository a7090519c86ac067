"""Members of cohorts as bitmaps of numbers, in place of lists of ids."""

from pathlib import Path

from alembic import op
from pyroaring import BitMap

revision = "0003"
down_revision = "0002"
_PIECE = 100
_WRITE = "INSERT INTO cohort_chunk (tenant_id, content_id, chunk, version, members) VALUES (%s, %s, %s, %s, %s)"


def upgrade() -> None:
    """Number the users of all lists in force, and write them as bitmaps."""
    bind = op.get_bind()
    bind.exec_driver_sql(_read("members"))
    for rows in bind.exec_driver_sql(_read("members_numbers")).partitions(_PIECE):
        written = [
            (row.tenant_id, row.content_id, row.chunk, row.version, BitMap(row.numbers).serialize()) for row in rows
        ]
        bind.exec_driver_sql(_WRITE, written)
    bind.exec_driver_sql(_read("members_left"))


def _read(name: str) -> str:
    return (Path(__file__).parent / f"0003_{name}.sql").read_text(encoding="utf-8").replace("%I", "%%I")
