"""Coupon codes that are compared without regard to upper and lower case."""

from pathlib import Path

import structlog
from alembic import op

revision = "0026"
down_revision = "0025"
_SHOWN = 20
_FOUND = "SELECT tenant_id, pool_id FROM coupon_pool WHERE case_sensitive ORDER BY tenant_id, pool_id"
log = structlog.get_logger()


def upgrade() -> None:
    """Run the SQL file of this revision, and say which pools go on telling upper and lower case apart."""
    bind = op.get_bind()
    bind.exec_driver_sql(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))
    bind.exec_driver_sql("ALTER TABLE coupon_pool NO FORCE ROW LEVEL SECURITY")
    found = [f"{tenant_id}/{pool_id}" for tenant_id, pool_id in bind.exec_driver_sql(_FOUND)]
    bind.exec_driver_sql("ALTER TABLE coupon_pool FORCE ROW LEVEL SECURITY")
    if found:
        log.warning(
            "coupon pools stay case_sensitive: some of their codes differ from others of the tenant by their case alone",
            pools=found[:_SHOWN],
            count=len(found),
        )
