"""Users can be erased: their rows stay, under a pseudonym."""

from pathlib import Path

from alembic import op

revision = "0011"
down_revision = "0010"
SUBJECTS = ("0011_erasure.sql", "0011_erasure_history.sql", "0011_erasure_user.sql", "0011_erasure_security.sql")


def upgrade() -> None:
    """Make the table of erasures, and what erases: functions of a role of their own."""
    for name in SUBJECTS:
        op.get_bind().exec_driver_sql(Path(__file__).with_name(name).read_text(encoding="utf-8").replace("%", "%%"))
