"""Balance imports: the points that members of a programme held before it came to Fillip, from a file."""

from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from msgspec.structs import asdict
from pydantic import BaseModel, Field

from fillip.core.ports import Caller
from fillip.http.errors import Conflict
from fillip.http.fields import ObjectId
from fillip.http.page import NamedPages, Page
from fillip.manage.balance_import.lines import MAX_ROWS, BalanceReader
from fillip.manage.balance_import.postgres import (
    ImportRow,
    balance_imports,
    count_open,
    read_terms,
    require_same,
)
from fillip.manage.balance_import.staging_postgres import ImportSums, stage_import
from fillip.manage.request.route import Reading, Route, find_app_state, require
from fillip.manage.store.postgres import Connection, transaction
from fillip.manage.upload.upload import check_upload, spool_upload

MAX_IMPORT_BYTES = 256 * 1_048_576
MAX_IMPORTS, MAX_OPEN = 10_000, 5
"""Of a tenant: in all, and that are still to be posted."""

router = APIRouter(prefix="/balance-imports", tags=["wallets"], route_class=Route)


class CurrencySums(BaseModel):
    """Of one currency: what the file holds, and how much of that is in wallets by now; equal in the end."""

    currency: str = Field(examples=["POINTS"])
    rows: int
    users: int
    amount: int
    posted_rows: int
    posted_amount: int


class BalanceImport(BaseModel):
    """A file of opening balances. `checked`: by a dry run, nothing of it is stored. `posting`: whole and stored, `posted_rows` of its
    `rows` are in wallets. `done`: all are, and each `posted_amount` is the `amount` of the file.

    `error` is why the last portion could not be posted; it is tried again by itself.
    """

    import_id: ObjectId
    state: Literal["checked", "posting", "done"]
    rows: int
    users: int
    posted_rows: int
    sums: list[CurrencySums]
    error: str | None
    created_at: datetime | None
    ended_at: datetime | None


_FILE: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "text/csv": {
                "schema": {"type": "string"},
                "example": "user_id,amount,currency,available_at,expires_at,id\nada,1200,POINTS,,2027-06-30,card-17\ngrace,50,,,,\n",
            }
        },
    }
}
_KNOWN: dict[int | str, dict[str, Any]] = {
    200: {"model": BalanceImport, "description": "Imported before from the same file; or a dry run"}
}


@router.put("/{import_id}", status_code=202, openapi_extra=_FILE, responses=_KNOWN)
async def import_balances(
    import_id: ObjectId,
    request: Request,
    response: Response,
    caller: Annotated[Caller, require("manage:write")],
    dry_run: Annotated[bool, Query(description="Check the file and sum it up, and store nothing")] = False,
) -> BalanceImport:
    """Take in what users held before: a CSV with a lot a line, at most 2,000,000 and 256 MiB, as it is or with `Content-Encoding: gzip`.

    All or nothing: the lines that can't be taken are named with their column, the first 100 of them, and nothing is imported (422).
    A file that is taken is stored whole, then posted in the background, portion by portion, each row once whatever breaks down. The
    same file again under its id imports nothing more; another file is refused (409). Users hear nothing: no frame is sent.
    """
    check_upload(request, "text/csv", most_bytes=MAX_IMPORT_BYTES)
    app_state = find_app_state(request)
    async with transaction(app_state.engine, caller) as connection:
        terms = await read_terms(connection, caller, datetime.now(UTC))
    read = partial(BalanceReader, terms=terms)
    async with spool_upload(request, app_state.coming, read, most_lines=MAX_ROWS, most_bytes=MAX_IMPORT_BYTES) as (
        file,
        lines,
    ):
        async with transaction(app_state.engine, caller) as connection:
            before = await balance_imports.seek(connection, caller, import_id)
            if before is None and not dry_run:
                await _require_room(connection, caller)
        if before is not None:
            require_same(before, lines.content_hash)
            response.status_code = 200
            return _describe(before)
        lines.refuse()
        async with app_state.uploads, stage_import(app_state.engine, caller, file) as staged:
            lines.refuse(*await staged.find_twice())
            sums = await staged.sum_rows()
            if dry_run:
                response.status_code = 200
                return _describe_checked(import_id, sums)
            await staged.store(import_id, lines.content_hash, sums)
    async with transaction(app_state.engine, caller) as connection:
        stored = await balance_imports.find(connection, caller, import_id)
    require_same(stored, lines.content_hash)  # of two files that came at once one is stored
    response.headers["Location"] = f"/v1/balance-imports/{import_id}"
    return _describe(stored)


@router.get("")
async def list_balance_imports(work: Reading, pages: NamedPages) -> Page[BalanceImport]:
    """The tenant's imports, by id."""
    rows, cursor = await balance_imports.list(work.connection, work.caller, pages)
    return Page(items=[_describe(row) for row in rows], next_cursor=cursor)


@router.get("/{import_id}")
async def read_balance_import(work: Reading, import_id: ObjectId) -> BalanceImport:
    """How far an import is: what its file held, and what of that was posted."""
    return _describe(await balance_imports.find(work.connection, work.caller, import_id))


async def _require_room(connection: Connection, caller: Caller) -> None:
    if await balance_imports.count(connection, caller.tenant_id) >= MAX_IMPORTS:
        raise Conflict(f"there are {MAX_IMPORTS:,} balance imports, more are not taken")
    if await count_open(connection, caller) >= MAX_OPEN:
        raise Conflict(f"{MAX_OPEN} balance imports are being posted: send more when one is done")


def _describe(row: ImportRow) -> BalanceImport:
    sums = []
    for currency, of_file in sorted(row.sums.items()):
        rows, amount = row.posted.get(currency, (0, 0))
        sums.append(CurrencySums(currency=currency, **of_file, posted_rows=rows, posted_amount=amount))
    fields = {name: getattr(row, name) for name in ("rows", "users", "posted_rows", "error", "created_at", "ended_at")}
    state: Literal["posting", "done"] = "done" if row.ended_at else "posting"
    return BalanceImport(import_id=row.import_id, state=state, sums=sums, **fields)


def _describe_checked(import_id: str, of_file: ImportSums) -> BalanceImport:
    sums = [
        CurrencySums(currency=currency, **asdict(each), posted_rows=0, posted_amount=0)
        for currency, each in sorted(of_file.sums.items())
    ]
    told = {"rows": of_file.rows, "users": of_file.users, "posted_rows": 0}
    return BalanceImport(
        import_id=import_id, state="checked", sums=sums, error=None, created_at=None, ended_at=None, **told
    )
