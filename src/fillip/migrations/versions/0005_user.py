"""Changes of users are numbered, and a decision keeps the revision of the attributes that it read."""

from pathlib import Path

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Number changes from here on; decisions of before have no revision."""
    op.get_bind().exec_driver_sql(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))
