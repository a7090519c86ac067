"""The lists of cohorts by events: made once by all that is counted, then brought up to it, some users at a time."""

from collections.abc import Sequence
from contextlib import nullcontext
from datetime import datetime
from functools import partial
from tempfile import TemporaryFile
from typing import Any, BinaryIO
from uuid import UUID

import msgspec
from prometheus_client import Histogram
from sqlalchemy import Integer, Row, Text, Uuid, update
from sqlalchemy.ext.asyncio import AsyncEngine

from fillip.core.cohort import Members
from fillip.core.ports import Caller
from fillip.core.quota import Quotas
from fillip.http.errors import Conflict, HttpRefused
from fillip.manage.cohort.build_postgres import begin_build
from fillip.manage.cohort.combination_postgres import follow
from fillip.manage.cohort.merged_postgres import share_lists
from fillip.manage.cohort.numbers_postgres import find_numbers, number_ids
from fillip.manage.cohort.postgres import cohorts, shift_members
from fillip.manage.cohort.rule_postgres import seek_rule
from fillip.manage.cohort.statement_postgres import Kinds, load_statement
from fillip.manage.cohort.upload_postgres import Upload, take_upload
from fillip.manage.store.postgres import Connection, transaction
from fillip.manage.store.tables.cohort import cohort, cohort_rule
from fillip.manage.tenant.postgres import read_quotas

MOST_CHANGES, PORTION = 20_000, 5_000
"""Users who come and go in one version of a list; and who are read at once for the first."""
BEHIND_S = Histogram(
    "fillip_cohort_behind_seconds",
    "From the receipt of an event, or the end of a window, to the list with who joined or left by it",
    buckets=(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1, 1.5, 2, 5, 10, 60, 600),
)
_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", "\r": r"\r", "\t": r"\t"})

_KINDS: Kinds = {"tenant_id": Text(), "rule_id": Uuid(), "after": Text(), "most": Integer()}
_load = partial(load_statement, kinds=_KINDS)
_PICK_CHANGED, _PICK_ALL, _LOOK_UP = _load("pick_changed"), _load("pick_all"), _load("look_up")


async def bring_up(engine: AsyncEngine, tenant_id: str, cohort_id: str) -> None:
    """Bring the list of a cohort, and of those that follow from it, up to what is counted. Raises Retry.

    Raises HttpRefused where the tenant has no room for it: the cohort says so, and its list stays.
    """
    known = Caller(None, tenant_id, frozenset())
    try:
        async with transaction(engine, known) as connection:
            caller = await _find_caller(connection, tenant_id)
            await share_lists(connection, caller)
            row = await cohorts.seek(connection, caller, cohort_id, lock=True)
            rule = await seek_rule(connection, caller, cohort_id)
            if row is None or rule is None or rule.state != "in_force":
                return
            changed = await _take_changes(connection, caller, row, rule.rule_id)
    except HttpRefused as refused:
        async with transaction(engine, known) as connection:
            await _set(connection, known, cohort_id, last_error=str(refused))
        raise
    for each in changed:
        if each.behind_s is not None:
            BEHIND_S.observe(max(0.0, each.behind_s))


async def make_first_list(
    engine: AsyncEngine, tenant_id: str, cohort_id: str, rule_id: UUID, known_since: datetime | None
) -> None:
    """Bring the first list by a rule into force, which knows events in full since then (None: since the first).

    The build tells how it goes. Raises HttpRefused and Retry; nothing has changed then.
    """
    known = Caller(None, tenant_id, frozenset())

    with TemporaryFile() as file:
        async with transaction(engine, known) as connection:
            caller = await _find_caller(connection, tenant_id)
            row = await cohorts.seek(connection, caller, cohort_id)
            rule = await seek_rule(connection, caller, cohort_id)
        if row is None or rule is None or rule.rule_id != rule_id:
            return
        revision = row.revision
        rows = await _write_members(engine, caller, rule_id, file)
        file.seek(0)
        async with transaction(engine, caller) as connection:
            build_id = await begin_build(
                connection, caller, cohort_id, "replace", lines=rows, rejected=0, rejections=""
            )

        def check(row: Row[Any]) -> None:
            if row.revision != revision:
                raise Conflict("the rule has been changed meanwhile: the new one is built next")

        upload = Upload(caller, cohort_id, build_id, "replace", file, rows, check)
        await take_upload(engine, nullcontext(), upload)
    async with transaction(engine, known) as connection:
        mine = (cohort_rule.c.tenant_id == tenant_id) & (cohort_rule.c.rule_id == rule_id)
        values = {"state": "in_force", "known_since": known_since}
        await connection.execute(update(cohort_rule).where(mine).values(values))


async def _take_changes(connection: Connection, caller: Caller, row: Row[Any], rule_id: UUID) -> Sequence[Row[Any]]:
    await connection.execute(_LOOK_UP)
    given = {"tenant_id": caller.tenant_id, "rule_id": rule_id, "most": MOST_CHANGES}
    changed = (await connection.execute(_PICK_CHANGED, given)).all()
    if changed:
        come = sorted(each.user_id for each in changed if each.is_member)
        gone = [each.user_id for each in changed if not each.is_member]
        numbers = await number_ids(connection, caller, come)
        known = await find_numbers(connection, caller, gone)
        await shift_members(connection, caller, row, come=Members(numbers.values()), gone=Members(known.values()))
        await follow(connection, caller, row.cohort_id)
        if row.last_error is not None:
            await _set(connection, caller, row.cohort_id, last_error=None)
    return changed


async def _write_members(engine: AsyncEngine, caller: Caller, rule_id: UUID, file: BinaryIO) -> int:
    """Write who is in it by now as rows of COPY's text format; how many. Who changes later differs from the list, and follows."""
    rows, after = 0, ""
    while True:
        given = {"tenant_id": caller.tenant_id, "rule_id": rule_id, "after": after, "most": PORTION}
        async with transaction(engine, caller) as connection:
            await connection.execute(_LOOK_UP)
            found = (await connection.execute(_PICK_ALL, given)).all()
        members = [each.user_id.translate(_ESCAPES) + "\n" for each in found if each.is_member]
        file.write("".join(members).encode())
        rows += len(members)
        if len(found) < PORTION:
            return rows
        after = max(each.user_id.encode() for each in found).decode()


async def _find_caller(connection: Connection, tenant_id: str) -> Caller:
    quotas = msgspec.convert(await read_quotas(connection, tenant_id), Quotas)
    return Caller(None, tenant_id, frozenset(), quotas)


async def _set(connection: Connection, caller: Caller, cohort_id: str, **values: object) -> None:
    """Change what is no part of the definition: the cohort's revision stays."""
    mine = (cohort.c.tenant_id == caller.tenant_id) & (cohort.c.cohort_id == cohort_id)
    await connection.execute(update(cohort).where(mine).values(values))
