"""Levels of users by points that they earned in a window."""

from pathlib import Path

from alembic import op

revision = "0043"
down_revision = "0041"


def upgrade() -> None:
    """Run the SQL files of this revision: the tables, what moves levels, who may do what, and how rules read them."""
    for name in ("0043_level", "0043_level_moved", "0043_level_security", "0043_level_read"):
        path = Path(__file__).with_name(f"{name}.sql")
        op.get_bind().exec_driver_sql(path.read_text(encoding="utf-8").replace("%", "%%"))
