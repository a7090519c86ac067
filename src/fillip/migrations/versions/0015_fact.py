"""When the lots expire that a transfer of points changes; and what lots gave later is announced too."""

from pathlib import Path

from alembic import op

revision = "0015"
down_revision = "0012"


def upgrade() -> None:
    """Run the SQL file of this revision; what is there already is announced by a new snapshot alone."""
    op.get_bind().exec_driver_sql(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))
