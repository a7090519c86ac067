"""The first schema: control plane, ledger, roles and row-level security."""

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None
SUBJECTS = (
    "0001_roles.sql",
    "0001_ledger.sql",
    "0001_limit_lock.sql",
    "0001_quest.sql",
    "0001_change.sql",
    "0001_reversal.sql",
    "0001_wallet.sql",
    "0001_coupon.sql",
    "0001_list.sql",
    "0001_cohort.sql",
    "0001_reader.sql",
    "0001_pages.sql",
    "0001_quota.sql",
    "0001_bounds.sql",
    "0001_security.sql",
    "0001_processes.sql",
)


def upgrade() -> None:
    """Run the SQL files of this revision: a subject's file makes its tables and grants, security and roles come last."""
    here = Path(__file__).parent
    for name in SUBJECTS:
        op.get_bind().exec_driver_sql((here / name).read_text(encoding="utf-8").replace("%", "%%"))
