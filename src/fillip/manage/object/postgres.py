"""Objects as stored: one row by tenant and id, in a table for each kind, with what all kinds have alike."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Table, delete, func, insert, select, update
from sqlalchemy.sql.elements import ColumnElement

from fillip.core.ports import Caller
from fillip.http.errors import NotFound
from fillip.http.paging import Paging
from fillip.manage.store.keyset import RowPage, read_page
from fillip.manage.store.postgres import Connection

Values = Mapping[str, object]
"""By column."""


@dataclass(frozen=True)
class Objects:
    """The objects of one kind. `missing` tells that there is none of an id, `{}` in it; all rows come whole."""

    table: Table
    id_column: str
    missing: str

    async def seek(
        self, connection: Connection, caller: Caller, object_id: str | UUID, *, lock: bool = False
    ) -> Row[Any] | None:
        """One, locked until the transaction ends where asked; None where there is none."""
        statement = select(self.table).where(self._match(caller, object_id))
        return (await connection.execute(statement.with_for_update() if lock else statement)).one_or_none()

    async def find(
        self, connection: Connection, caller: Caller, object_id: str | UUID, *, lock: bool = False
    ) -> Row[Any]:
        """As `seek`; raises NotFound."""
        row = await self.seek(connection, caller, object_id, lock=lock)
        if row is None:
            raise NotFound(self.missing.format(object_id))
        return row

    async def list(
        self,
        connection: Connection,
        caller: Caller,
        pages: Paging,
        sift: Mapping[str, object] | None = None,
        **wanted: object,
    ) -> RowPage:
        """A page of the caller's by id; of those `wanted` by column, None for all. `sift`: see read_page."""
        mine = [self.table.c.tenant_id == caller.tenant_id]
        mine += [self.table.c[name] == value for name, value in wanted.items() if value is not None]
        order = [self.table.c[self.id_column]]
        return await read_page(connection, select(self.table).where(*mine), order, pages, sift=sift)

    async def count(self, connection: Connection, tenant_id: str) -> int:
        """How many a tenant has."""
        mine = select(func.count()).select_from(self.table).where(self.table.c.tenant_id == tenant_id)
        return (await connection.execute(mine)).scalar_one()

    async def insert(self, connection: Connection, caller: Caller, object_id: str, values: Values) -> Row[Any]:
        """Store a new one."""
        key = {"tenant_id": caller.tenant_id, self.id_column: object_id}
        statement = insert(self.table).values({**key, **values}).returning(*self.table.c)
        return (await connection.execute(statement)).one()

    async def change(self, connection: Connection, caller: Caller, object_id: str, values: Values) -> Row[Any]:
        """Store other values of one, with its next revision."""
        moved = {**values, "revision": self.table.c.revision + 1, "updated_at": func.now()}
        statement = update(self.table).where(self._match(caller, object_id)).values(moved)
        return (await connection.execute(statement.returning(*self.table.c))).one()

    async def save(
        self, connection: Connection, caller: Caller, object_id: str, values: Values, before: Row[Any] | None
    ) -> Row[Any]:
        """Store a new one where there was none `before`, or other values of that one."""
        store = self.insert if before is None else self.change
        return await store(connection, caller, object_id, values)

    async def remove(self, connection: Connection, caller: Caller, object_id: str) -> None:
        """Delete one."""
        await connection.execute(delete(self.table).where(self._match(caller, object_id)))

    def _match(self, caller: Caller, object_id: str | UUID) -> ColumnElement[bool]:
        return (self.table.c.tenant_id == caller.tenant_id) & (self.table.c[self.id_column] == object_id)
