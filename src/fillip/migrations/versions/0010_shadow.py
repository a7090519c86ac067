"""Campaigns in shadow: they are decided, and grant nothing."""

from pathlib import Path

from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Add the state, and the mark of its decisions; no campaign was in it before."""
    op.get_bind().exec_driver_sql(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))
