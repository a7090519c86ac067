"""Coupon pools: codes imported or generated, each given to one user at most."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, BeforeValidator, Field

from fillip.core.ports import Caller
from fillip.http.errors import Conflict
from fillip.http.fields import ObjectId, Part, Title
from fillip.http.page import Page, Pages, TitledPages, answer_page
from fillip.manage.book.postgres import lock_tenant
from fillip.manage.campaign.postgres import list_giving
from fillip.manage.coupon import postgres
from fillip.manage.coupon.codes import CodeObjectReader, CodeReader
from fillip.manage.coupon.postgres import pools
from fillip.manage.request.route import Posting, Reading, Route, Writing, find_app_state, require
from fillip.manage.store.postgres import transaction
from fillip.manage.tenant.postgres import take_codes
from fillip.manage.upload.csv_lines import UploadBroken
from fillip.manage.upload.staging_postgres import Elsewhere, Spellings, stage_lines
from fillip.manage.upload.upload import check_upload, spool_upload

MAX_POOLS = 1_000
MAX_GENERATED = MAX_IMPORTED = 1_000_000
MAX_OPEN = 10
SYMBOLS_AT_LEAST = 13
"""Of 5 bits each: a code can't be guessed (2^65)."""

router = APIRouter(prefix="/coupon-pools", tags=["coupons"], route_class=Route)


class NewPool(Part):
    """A pool before its first codes. `case_sensitive`, for good: its codes are compared as they are spelt, so that AbC and abc are two."""

    pool_id: ObjectId
    name: Title
    case_sensitive: bool = Field(False, strict=True)


class Pool(NewPool):
    """A pool as stored."""

    created_at: datetime


class PoolAnswer(Pool):
    """A pool and its codes: free, assigned to a user, and redeemed."""

    free: int
    assigned: int
    redeemed: int


class Imported(BaseModel):
    """`duplicates` are lines whose code was in the pool already, or came again."""

    added: int
    duplicates: int


def _want_symbols(pattern: object) -> object:
    if isinstance(pattern, str) and (found := pattern.count("#")) < SYMBOLS_AT_LEAST:
        raise ValueError(f"has {found} times #, needs at least {SYMBOLS_AT_LEAST}, so that no code can be guessed")
    return pattern


class NewGeneration(Part):
    """Codes to be made: each # of the pattern is one of 32 letters and digits of which no two look alike."""

    count: int = Field(ge=1, le=MAX_GENERATED, strict=True)
    pattern: Annotated[str, BeforeValidator(_want_symbols)] = Field(
        "####-####-####-####",
        pattern=rf"^([A-Za-z0-9._-]*#){{{SYMBOLS_AT_LEAST},64}}[A-Za-z0-9._-]*$",
        max_length=64,
        description=f"At least {SYMBOLS_AT_LEAST} times #, so that no code can be guessed",
        examples=["SPRING-####-####-####-####"],
    )


class GenerationAnswer(BaseModel):
    """A generation in the background: `made` of `wanted` codes are in the pool and can be given."""

    generation_id: UUID
    pool_id: ObjectId
    pattern: str
    wanted: int
    made: int
    state: Literal["running", "done"]
    created_at: datetime
    finished_at: datetime | None


@router.post("", status_code=201)
async def create_coupon_pool(work: Posting, body: NewPool, response: Response) -> Pool:
    """Make a pool without codes."""
    if await pools.count(work.connection, work.caller.tenant_id) >= MAX_POOLS:
        raise Conflict(f"there are {MAX_POOLS} coupon pools, more are not taken")
    row = await pools.insert(work.connection, work.caller, body.pool_id, body.model_dump(exclude={"pool_id"}))
    response.headers["Location"] = f"/v1/coupon-pools/{body.pool_id}"
    return Pool.model_validate(row, from_attributes=True)


@router.get("")
async def list_coupon_pools(work: Reading, pages: TitledPages) -> Page[Pool]:
    """The tenant's pools by id; one by itself comes with its counts."""
    return answer_page(Pool, await pools.list(work.connection, work.caller, pages))


@router.delete("/{pool_id}", status_code=204)
async def delete_coupon_pool(work: Writing, pool_id: ObjectId) -> None:
    """Delete a pool that has no codes, had none ordered, and that no campaign gives from, archived ones aside. It never changes: no If-Match."""
    await lock_tenant(work.connection, work.caller)
    await pools.find(work.connection, work.caller, pool_id)
    if campaigns := await list_giving(work.connection, work.caller, pool_id):
        raise Conflict(
            f"coupon pool {pool_id} is given from by campaigns: {', '.join(campaigns)}; change or archive them first"
        )
    if await postgres.has_codes(work.connection, work.caller, pool_id):
        raise Conflict(f"coupon pool {pool_id} has codes, or had some ordered: codes that users may hold stay known")
    await pools.remove(work.connection, work.caller, pool_id)


@router.get("/{pool_id}")
async def read_coupon_pool(work: Reading, pool_id: ObjectId) -> PoolAnswer:
    """A pool and how many of its codes are free, assigned and redeemed."""
    pool = Pool.model_validate(await pools.find(work.connection, work.caller, pool_id), from_attributes=True)
    codes = await postgres.count_codes(work.connection, work.caller, pool_id)
    return PoolAnswer(**dict(pool), free=codes.free, assigned=codes.assigned, redeemed=codes.redeemed)


_LINES: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "text/csv": {"schema": {"type": "string"}, "example": "code\nSPRING-1\nSPRING-2\n"},
            "application/x-ndjson": {"schema": {"type": "string"}, "example": '{"code": "SPRING-1"}\n'},
        },
    }
}


@router.post("/{pool_id}/codes", openapi_extra=_LINES)
async def import_coupon_codes(
    pool_id: ObjectId, request: Request, caller: Annotated[Caller, require("manage:write")]
) -> Imported:
    """Add the codes of a CSV (one column, a header `code` or none) or NDJSON file, at most 1,000,000 and 64 MiB.

    A broken line is named by its number, as is a code that comes twice in two spellings, a code of another pool by itself, and
    nothing is added. Then they are added in portions, and can be given as they come. The same file again adds none, or what is
    missing after a breakdown.
    """
    media = check_upload(request, "text/csv", "application/x-ndjson")
    app_state = find_app_state(request)
    async with transaction(app_state.engine, caller) as connection:
        exact = bool((await pools.find(connection, caller, pool_id)).case_sensitive)
    reader = CodeReader if media == "text/csv" else CodeObjectReader
    async with (
        spool_upload(request, app_state.coming, reader, most_lines=MAX_IMPORTED) as (file, read),
        app_state.uploads,
        stage_lines(app_state.engine, caller, file) as staging,
    ):
        count, added = await staging.number_codes(), 0
        if not exact and (twice := await staging.find_spellings()):
            raise _tell_twice(twice, read.lines_read - read.rows)
        elsewhere = await staging.find_elsewhere(pool_id, case_sensitive=exact)
        if elsewhere is None:
            added = await staging.add_codes(pool_id, count, caller.quotas.coupon_codes, case_sensitive=exact)
            elsewhere = await staging.find_elsewhere(pool_id, case_sensitive=exact)  # taken by another import meanwhile
        if elsewhere:
            raise _tell_elsewhere(elsewhere, added)
    return Imported(added=added, duplicates=read.rows - added)


def _tell_twice(twice: Spellings, header: int) -> UploadBroken:
    """`header` lines stand before the first code."""
    same = f"the code {twice.first_line} of line {twice.first_number + header}"
    reason = f"{twice.line} is {same} in another spelling: leave one out, or take a pool that is case_sensitive"
    return UploadBroken(twice.number + header, reason)


def _tell_elsewhere(elsewhere: Elsewhere, added: int) -> Conflict:
    done = f"{added} others were added" if added else "nothing was added"
    there = f"the code {elsewhere.code} is in pool {elsewhere.pool_id} already"
    if elsewhere.line != elsewhere.code:
        there += f", and {elsewhere.line} would be taken for it, as one of the two pools is not case_sensitive"
    return Conflict(f"{there}: {done}")


@router.post("/{pool_id}/generations", status_code=202)
async def generate_coupon_codes(
    work: Posting, pool_id: ObjectId, body: NewGeneration, response: Response
) -> GenerationAnswer:
    """Order up to a million codes; they are made in the background and can be given as they come."""
    await pools.find(work.connection, work.caller, pool_id)
    if await postgres.count_running(work.connection, work.caller) >= MAX_OPEN:
        raise Conflict(f"{MAX_OPEN} generations are running: order more when one is done")
    row = await postgres.insert_generation(work.connection, work.caller, pool_id, body.pattern, wanted=body.count)
    await take_codes(work.connection, work.caller, body.count)
    response.headers["Location"] = f"/v1/coupon-pools/{pool_id}/generations/{row.generation_id}"
    return GenerationAnswer.model_validate(row, from_attributes=True)


@router.get("/{pool_id}/generations")
async def list_code_generations(work: Reading, pool_id: ObjectId, pages: Pages) -> Page[GenerationAnswer]:
    """The generations of a pool, the newest first."""
    await pools.find(work.connection, work.caller, pool_id)
    return answer_page(GenerationAnswer, await postgres.list_generations(work.connection, work.caller, pool_id, pages))


@router.get("/{pool_id}/generations/{generation_id}")
async def read_code_generation(work: Reading, pool_id: ObjectId, generation_id: UUID) -> GenerationAnswer:
    """How far a generation has come."""
    row = await postgres.find_generation(work.connection, work.caller, pool_id, generation_id)
    return GenerationAnswer.model_validate(row, from_attributes=True)
