"""Cohorts by events: the rule by which users join and leave."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Response
from pydantic import Field

from fillip.core.tally import MAX_KEPT, MAX_SUM, MAX_WINDOW_S, MIN_WINDOW_S, CohortRule
from fillip.http.etag import Match, answer_tagged
from fillip.http.fields import CohortId, Part, give_examples
from fillip.manage.api.cohorts import Cohort
from fillip.manage.cohort import rule_postgres
from fillip.manage.cohort.postgres import cohorts
from fillip.manage.cohort.rule_checks import check_cohort_rule
from fillip.manage.request.route import Reading, Route, Writing

router = APIRouter(tags=["cohorts"], route_class=Route)
LONGEST = 4_000
Expression = Annotated[str, Field(min_length=1, max_length=LONGEST)]


class EventRule(Part):
    """Users are in the cohort while they have `at_least` so many events of `action` for which `rule` holds, or events
    whose `sum` reaches it, within the last `window_s` seconds by the time of the events; without it, ever.

    `rule` and `sum` are expressions over `event`. Terms of a sum below zero count nothing, and of a user the newest 500 events in the
    window are looked at.
    """

    model_config = give_examples(
        {"action": "PURCHASE", "rule": "event.amount_cents >= 1000", "at_least": 3, "window_s": 2_592_000},
        {"action": "PURCHASE", "sum": "event.amount_cents", "at_least": 50_000, "window_s": 2_592_000},
        {"action": "LOGIN", "window_s": 604_800},
    )

    action: Annotated[str, Field(min_length=1, max_length=256)]
    rule: Expression = "true"
    sum: Expression | None = None
    at_least: Annotated[
        int, Field(ge=1, le=MAX_SUM, description=f"Events, at most {MAX_KEPT}; or what the sum is to reach")
    ] = 1
    window_s: Annotated[int, Field(ge=MIN_WINDOW_S, le=MAX_WINDOW_S)] | None = None


class StoredRule(EventRule):
    """The rule of a cohort, and how its list follows it.

    While it is `building`, what the log of events still holds is being counted, and the list of before stays in force. It then
    knows events in full since `known_since`; null: since the first one in the log. The list in force is at most `behind_s`
    seconds behind the events that have come in; null where nobody counts them.
    """

    state: Literal["building", "in_force"]
    known_since: datetime | None
    behind_s: float | None
    saved_at: datetime


@router.put("/cohorts/{cohort_id}/rule")
async def save_cohort_rule(
    cohort_id: CohortId, given: EventRule, if_match: Match, work: Writing, response: Response
) -> Cohort:
    """Let users join and leave a cohort by their events. A cohort whose list was uploaded can't have a rule.

    What the log of events still holds is counted first; the list of before stays in force meanwhile, and a campaign can't be
    launched for a cohort that has had none.
    """
    row = await cohorts.find(work.connection, work.caller, cohort_id, lock=True)
    if_match.require(row.revision)
    definition = CohortRule(**given.model_dump())
    action = await rule_postgres.find_action(work.connection, work.caller, row, definition)
    checked = await work.compute(check_cohort_rule, definition, action)
    row = await rule_postgres.save_rule(work.connection, work.caller, cohort_id, checked)
    return answer_tagged(Cohort, row, response)


@router.get("/cohorts/{cohort_id}/rule")
async def read_cohort_rule(cohort_id: CohortId, work: Reading) -> StoredRule:
    """The rule of a cohort: how its list follows it, and how far behind the events that is."""
    await cohorts.find(work.connection, work.caller, cohort_id)
    row = await rule_postgres.find_rule(work.connection, work.caller, cohort_id)
    behind_s = None
    if row.state == "in_force":
        behind_s = await rule_postgres.measure_behind(work.connection, work.caller, row.rule_id)
    told = {"state": row.state, "known_since": row.known_since, "behind_s": behind_s, "saved_at": row.saved_at}
    return StoredRule.model_validate(row.definition | told)
