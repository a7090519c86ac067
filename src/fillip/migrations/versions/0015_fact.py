"""What facts go by: when the lots expire that a transfer of points changes, and what an acked incentive is of."""

from pathlib import Path

from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Run the SQL files of this revision; what is there already is announced by a new snapshot alone."""
    here = Path(__file__)
    for name in (here.stem, f"{here.stem}_ack"):
        op.get_bind().exec_driver_sql(here.with_name(f"{name}.sql").read_text(encoding="utf-8"))
