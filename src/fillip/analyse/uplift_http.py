"""Uplift by GET: who met a campaign is known by the facts, what they did by their events."""

import asyncio
import re
from functools import partial
from pathlib import Path

import msgspec
from starlette.requests import Request

from fillip.analyse import parameters
from fillip.analyse.parameters import InvalidQuery
from fillip.analyse.query.queries import Queries
from fillip.analyse.report import Bay
from fillip.analyse.uplift import Measured, Uplift, UpliftQuestion, compare

KNOWN = frozenset({"campaign_id", "action", "value", "from", "to", "window_days"})
DEFAULT_WINDOW_DAYS, MAX_WINDOW_DAYS = 30, 90
_GROUPS = (Path(__file__).parent / "uplift_groups.sql").read_text(encoding="utf-8")
_ATTRIBUTE = re.compile(r"[A-Za-z_]\w{0,63}(?:\.[A-Za-z_]\w{0,63}){0,7}", re.ASCII)


def read_question(request: Request, tenant_id: str) -> UpliftQuestion:
    """What is asked; raises InvalidQuery."""
    first, last = parameters.read_days(request)
    return UpliftQuestion(
        tenant_id,
        parameters.read_required(request, "campaign_id", "name the campaign"),
        parameters.read_required(request, "action", "name the action that is to be brought about, such as PURCHASE"),
        _read_path(request),
        first,
        last,
        _read_window(request),
    )


async def measure_uplift(question: UpliftQuestion, bay: Bay, queries: Queries) -> Uplift:
    """The report. It takes one of the tenant's turns, as a query does, and raises what queries raise; InvalidQuery for a quest."""
    if await bay.is_of_quest(question):
        raise InvalidQuery(
            "a quest decides when it is completed, and for who gets nothing at each step: the groups can't be compared",
            at="campaign_id",
        )
    spend = await bay.report_spend(question)
    async with queries.answer(question.tenant_id, _GROUPS, "json", give=partial(bay.write_met, question)) as answer:
        found = await asyncio.to_thread(answer.file.read_bytes)
    groups = msgspec.json.decode(found, type=list[Measured])
    return compare(groups, spend, with_value=question.path is not None)


def _read_path(request: Request) -> str | None:
    """The JSON path of an attribute within `data`."""
    named = request.query_params.get("value")
    if named is None:
        return None
    if not _ATTRIBUTE.fullmatch(named):
        raise InvalidQuery("not an attribute of events such as amount_cents or order.total", at="value")
    return "$." + ".".join(f'"{name}"' for name in named.split("."))


def _read_window(request: Request) -> int:
    text = request.query_params.get("window_days", str(DEFAULT_WINDOW_DAYS))
    if not (text.isascii() and text.isdigit() and len(text) <= 2 and 1 <= int(text) <= MAX_WINDOW_DAYS):
        raise InvalidQuery(f"not a number of days from 1 to {MAX_WINDOW_DAYS}", at="window_days")
    return int(text)
