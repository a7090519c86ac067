"""Users that are merged into others."""

from pathlib import Path

from alembic import op

revision = "0036"
down_revision = "0034"


def upgrade() -> None:
    """Run the SQL files of this revision."""
    for name in ("0036_user_merge", "0036_user_merge_told"):
        op.get_bind().exec_driver_sql(Path(__file__).with_name(f"{name}.sql").read_text(encoding="utf-8"))
