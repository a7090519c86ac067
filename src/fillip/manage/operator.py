"""What the operator does on the command line, with the database owner's DSN."""

from fillip.manage.api import quotas
from fillip.manage.api.keys import IssuedKey, NewKey, add_key
from fillip.manage.api.quotas import QuotasAnswer, QuotasPart
from fillip.manage.api.tenants import NewTenant, TenantState, add_tenant
from fillip.manage.store.postgres import open_engine, transaction


async def create_tenant(dsn: str, tenant: NewTenant, key: NewKey) -> tuple[TenantState, IssuedKey]:
    """Create a tenant and its first key, both or neither; raises Refused (the id is taken, a bad schema) or Retry."""
    engine = open_engine(dsn, connections=1)
    try:
        async with transaction(engine) as connection:
            return await add_tenant(connection, tenant), await add_key(connection, tenant.tenant_id, key)
    finally:
        await engine.dispose()


async def set_quotas(dsn: str, tenant_id: str, part: QuotasPart) -> QuotasAnswer:
    """Change a tenant's quotas (none given: only read them); raises NotFound or Retry."""
    engine = open_engine(dsn, connections=1)
    try:
        async with transaction(engine) as connection:
            return await quotas.set_quotas(connection, tenant_id, part)
    finally:
        await engine.dispose()


async def create_key(dsn: str, tenant_id: str, key: NewKey) -> IssuedKey:
    """Make one more key of a tenant, for instance in place of a lost one; raises NotFound, Refused or Retry."""
    engine = open_engine(dsn, connections=1)
    try:
        async with transaction(engine) as connection:
            return await add_key(connection, tenant_id, key)
    finally:
        await engine.dispose()
