"""Currencies of points that nothing names may be deleted."""

from pathlib import Path

from alembic import op

revision = "0050"
down_revision = "0049"


def upgrade() -> None:
    """Run the SQL file of this revision."""
    op.get_bind().exec_driver_sql(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))
