"""The first schema: control plane, ledger, roles and row-level security."""

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Run the two SQL files of this revision."""
    here = Path(__file__).parent
    for name in ("0001_ledger.sql", "0001_security.sql"):
        op.get_bind().exec_driver_sql((here / name).read_text(encoding="utf-8").replace("%", "%%"))
