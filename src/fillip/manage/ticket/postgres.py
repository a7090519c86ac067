"""Tickets as stored: by their hash alone."""

from datetime import datetime, timedelta

from sqlalchemy import delete, func, insert, select

from fillip.core.ports import Caller
from fillip.manage.store.keyset import inline_count
from fillip.manage.store.postgres import Connection
from fillip.manage.store.tables.tenant import gateway_ticket

LIVES_FOR = timedelta(seconds=60)
SWEPT_EACH_TIME = 10
"""Expired tickets that a new one removes: more than are made, so the table stays small."""


async def insert_ticket(connection: Connection, caller: Caller, ticket_hash: bytes, user_id: str) -> datetime:
    """Store a ticket, in place of expired ones that nobody has locked; when it expires."""
    table = gateway_ticket.c
    old = select(table.ticket_hash).where(table.tenant_id == caller.tenant_id, table.expires_at < func.now())
    old = old.limit(inline_count(SWEPT_EACH_TIME)).with_for_update(skip_locked=True)
    await connection.execute(delete(gateway_ticket).where(table.ticket_hash.in_(old)))
    row = {"ticket_hash": ticket_hash, "tenant_id": caller.tenant_id, "user_id": user_id}
    made = insert(gateway_ticket).values(**row, expires_at=func.now() + LIVES_FOR).returning(table.expires_at)
    expires_at: datetime = (await connection.execute(made)).scalar_one()
    return expires_at
