"""Erasures: a user's names, attributes and what was sent of them go; what was decided stays, under a pseudonym."""

from contextlib import suppress
from datetime import datetime
from typing import Literal
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from fillip.core.erasure import ANSWERS_KEEP_FOR, MEMORY_KEEPS_FOR, TOPICS_KEEP_FOR
from fillip.core.errors import Retry
from fillip.http.fields import UserId
from fillip.manage.erasure import postgres
from fillip.manage.erasure.postgres import ErasureRow, erasures
from fillip.manage.merge.postgres import require_whole, share_user
from fillip.manage.request.route import Posting, Reading, Route, find_app_state

router = APIRouter(tags=["users"], route_class=Route)


class ErasureAnswer(BaseModel):
    """How far an erasure is; it tells nobody whom it is about.

    The steps: `settling`, until events sent before the request are decided; `ledger`; `events`, recorded and rejected ones;
    `announcing`, until the topics tell of all that; `reports`, day files and facts. `waits_for` says what it waits for. `changed`
    counts the rows of the ledger that were written. From `erased_at` on, whatever comes under the id is of a new user. What only time
    removes is gone by `topics_until` (records of topics), `memory_until` (Valkey) and `answers_until` (answers to requests with an
    Idempotency-Key).
    """

    erasure_id: UUID
    state: Literal["running", "done"]
    step: Literal["settling", "ledger", "events", "announcing", "reports", "done"]
    waits_for: str | None
    changed: int = Field(description="Rows of the ledger")
    requested_at: datetime
    erased_at: datetime | None
    ended_at: datetime | None
    topics_until: datetime | None
    memory_until: datetime | None
    answers_until: datetime | None


@router.post("/users/{user_id}/erasure", status_code=202)
async def erase_user(user_id: UserId, work: Posting, request: Request, response: Response) -> ErasureAnswer:
    """Erase a user for good: follow it at its Location. While one runs, asking again tells of that one.

    Names and attributes go, and all that was sent of the user; decisions, incentives and points stay, under a pseudonym that
    nothing leads to. What is sent under the id later is of a new user, who has nothing; an event that was decided before and is sent
    again grants nothing. Ids that were merged into the user go with it, and of one that was merged into another, all of that one's.
    """
    user_id = await share_user(work.connection, work.caller, user_id)
    await require_whole(work.connection, work.caller, user_id)
    row = await postgres.ask_erasure(work.connection, work.caller, user_id)
    response.headers["Location"] = f"/v1/erasures/{row.erasure_id}"
    if refused := find_app_state(request).refused:
        with suppress(Retry):  # Valkey being away, where a day removes it
            await refused.forget(work.caller.tenant_id, user_id)
    return _answer(row)


@router.get("/erasures/{erasure_id}")
async def read_erasure(erasure_id: UUID, work: Reading) -> ErasureAnswer:
    """How far an erasure is."""
    return _answer(await erasures.find(work.connection, work.caller, erasure_id))


def _answer(row: ErasureRow) -> ErasureAnswer:
    at: datetime | None = row.erased_at
    kept = {"topics_until": TOPICS_KEEP_FOR, "memory_until": MEMORY_KEEPS_FOR, "answers_until": ANSWERS_KEEP_FOR}
    known = {name: getattr(row, name) for name in ErasureAnswer.model_fields if hasattr(row, name)}
    until = {name: at and at + keeps for name, keeps in kept.items()}
    return ErasureAnswer(**known, waits_for=row.error, **until)
