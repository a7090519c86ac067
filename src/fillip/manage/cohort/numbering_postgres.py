"""From the ids of an upload to the numbers of its users: known ones are found, new ones get the next numbers."""

import sys
from array import array
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path

from fillip.core.cohort import Members
from fillip.core.quota import Quotas
from fillip.http.errors import QuotaExceeded
from fillip.manage.upload.staging_postgres import STAGED_WITHIN_S, Staging, retryable

PORTION_USERS = 50_000
"""Users who get their numbers in one transaction, in about a second; meanwhile other lists of the tenant wait."""
ROOM = f"SET LOCAL statement_timeout = '{STAGED_WITHIN_S:.0f}s'; SET LOCAL work_mem = '128MB'"
SETTINGS = f"{ROOM}; SET LOCAL enable_hashagg = off; SET LOCAL enable_hashjoin = off"
NAMES = ("resolve_lines", "match_users", "lock_numbering", "number_users", "bundle_numbers")
SQL = {name: Path(__file__).with_name(f"{name}.sql").read_text(encoding="utf-8").split("\n\n") for name in NAMES}

Tell = Callable[[int, int], Awaitable[None]]
"""Told now and then: of how many new users, how many have their number."""


async def read_clock(staging: Staging) -> datetime:
    """What time it is for PostgreSQL. Raises Retry."""
    with retryable():
        now: datetime = await staging.driver.fetchval("SELECT clock_timestamp()")
    return now


async def match_users(staging: Staging) -> tuple[int, int]:
    """Find the numbers of the staged users, as who they are by now, that have one; how many have none, and how many the tenant has numbered.

    Raises Retry.
    """
    with retryable():
        async with staging.enter():
            numbered = await staging.driver.fetchval(*SQL["lock_numbering"], staging.tenant_id)
        for statement in SQL["resolve_lines"] + SQL["match_users"]:
            async with staging.enter():
                await staging.driver.execute(ROOM if statement in SQL["resolve_lines"] else SETTINGS)
                given = [staging.tenant_id] if "= $1" in statement else []
                await staging.driver.execute(statement, *given, timeout=STAGED_WITHIN_S)
        return int(await staging.driver.fetchval("SELECT count(*) FROM staged_new")), int(numbered)


async def number_users(staging: Staging, quotas: Quotas, new: int, numbered: int, tell: Tell) -> Members:
    """Give the `new` staged users their numbers, from `numbered` on as long as no other list gives any; the numbers.

    Raises QuotaExceeded before the first where they have no room, and Retry. A number is given for good, whatever becomes of
    the upload: the next one finds it.
    """
    (number,), (lock,) = SQL["number_users"], SQL["lock_numbering"]
    members = Members()
    for start in range(1, new + 1, PORTION_USERS):
        with retryable():
            async with staging.enter():
                await staging.driver.execute(SETTINGS)
                first = await staging.driver.fetchval(lock, staging.tenant_id)
                left = new - start + 1
                if first + left > quotas.listed_users:
                    raise QuotaExceeded("listed_users", quotas.listed_users, first, left)
                (row,) = await staging.driver.fetch(
                    number, staging.tenant_id, start, start + PORTION_USERS, first, first == numbered,
                    timeout=STAGED_WITHIN_S,
                )  # fmt: skip
        members |= Members(range(first, first + row["given"])) | Members(row["known"] or ())
        numbered = first + row["given"] if first == numbered else -1
        await tell(min(start + PORTION_USERS - 1, new), new)
    return members


async def read_numbers(staging: Staging) -> Members:
    """The numbers of the staged users that had one before. Raises Retry."""
    members = Members()
    with retryable():
        async with staging.enter():
            await staging.driver.execute(SETTINGS)
            async for row in staging.driver.cursor(*SQL["bundle_numbers"], prefetch=10, timeout=STAGED_WITHIN_S):
                members |= Members(_read_array(row["numbers"]))
    return members


def _read_array(octets: bytes) -> "array[int]":
    numbers = array("I", octets)
    if sys.byteorder == "little":
        numbers.byteswap()
    return numbers
