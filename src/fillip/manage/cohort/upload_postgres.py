"""A list of users on its way from the disk into force: staged, numbered, joined with the list of now, and switched."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, BinaryIO
from uuid import UUID

import structlog
from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncEngine

from fillip.core.cohort import Members
from fillip.core.errors import Retry
from fillip.core.ports import Caller
from fillip.http.errors import HttpRefused
from fillip.manage.cohort.build_postgres import Change, Progress, change_build, tell_build
from fillip.manage.cohort.combination_postgres import follow
from fillip.manage.cohort.merged_postgres import resolve_members, share_lists
from fillip.manage.cohort.numbering_postgres import match_users, number_users, read_clock, read_numbers
from fillip.manage.cohort.postgres import Switched, cohorts, switch_members
from fillip.manage.store.postgres import transaction
from fillip.manage.upload.staging_postgres import stage_lines

log = structlog.get_logger()


class Upload(Struct, frozen=True):
    """A list that has come in: its build, what it changes, and `rows` lines in `file` (COPY rows).

    `check` is asked of the cohort's row once more before the switch, and raises what refuses it.
    """

    caller: Caller
    cohort_id: str
    build_id: UUID
    change: Change
    file: BinaryIO
    rows: int
    check: Callable[[Row[Any]], None]


async def take_upload(engine: AsyncEngine, turn: AbstractAsyncContextManager[None], upload: Upload) -> Switched:
    """Bring a list into force.

    Its build tells how it goes, and how it ended. Raises HttpRefused where it is refused and Retry where it did not work:
    the list of before stays then.
    """
    try:
        async with turn:
            return await _switch(engine, upload, await _find_members(engine, upload))
    except HttpRefused as refused:
        await _tell_end(engine, upload, Progress(state="refused", error=str(refused)))
        raise
    except BaseException as error:
        failed = str(error) if isinstance(error, Retry) else f"it broke down: {type(error).__name__}"
        await _tell_end(engine, upload, Progress(state="failed", error=failed))
        raise


class _Found(Struct, frozen=True):
    """The users in the file who have a number, how many `others` there are in it, and since when who was merged is not known."""

    members: Members
    others: int
    known_at: datetime


async def _find_members(engine: AsyncEngine, upload: Upload) -> _Found:
    """The numbers of the users in the file, as who they are by now."""

    async def tell(done: int, all_new: int) -> None:
        progress = Progress(step="numbering", numbered=done, to_number=all_new)
        await tell_build(engine, upload.caller, upload.build_id, progress)

    async with stage_lines(engine, upload.caller, upload.file) as staging:
        known_at = await read_clock(staging)
        new, numbered = await match_users(staging)
        members = Members()
        if new and upload.change != "remove":
            await tell(0, new)
            members = await number_users(staging, upload.caller.quotas, new, numbered, tell)
        await tell_build(engine, upload.caller, upload.build_id, Progress(step="writing"))
        members |= await read_numbers(staging)
        members.run_optimize()
        return _Found(members, new if upload.change == "remove" else 0, known_at)


async def _switch(engine: AsyncEngine, upload: Upload, found: _Found) -> Switched:
    async with transaction(engine, upload.caller) as connection:
        await share_lists(connection, upload.caller)
        members = await resolve_members(connection, upload.caller, found.members, found.known_at)
        duplicates = upload.rows - len(members) - found.others
        row = await cohorts.find(connection, upload.caller, upload.cohort_id, lock=True)
        upload.check(row)
        switched = await switch_members(connection, upload.caller, row, upload.change, members)
        book_version = await follow(connection, upload.caller, upload.cohort_id) or switched.book_version
        switched = replace(switched, book_version=book_version)
        done = Progress(
            state="done", duplicates=duplicates, added=switched.added, removed=switched.removed,
            size=switched.row.size, version=switched.row.version, book_version=switched.book_version,
        )  # fmt: skip
        await change_build(connection, upload.caller, upload.build_id, done)
    return switched


async def _tell_end(engine: AsyncEngine, upload: Upload, progress: Progress) -> None:
    try:
        await tell_build(engine, upload.caller, upload.build_id, progress)
    except Retry as error:  # it is found to be silent later
        log.warning("how a build ended can't be stored", build=str(upload.build_id), error=str(error))
