"""Decisions of a backtest, explained as those of the ledger are."""

from collections.abc import Sequence

from msgspec import json

from fillip.core.backtest.simulation import Decided
from fillip.core.book.book import Book
from fillip.core.cohort import list_mine
from fillip.core.errors import Unreadable
from fillip.core.ports import UserNumbers
from fillip.manage.explain import wording
from fillip.manage.explain.answer import Check, ExplanationAnswer
from fillip.manage.explain.checks import EventContext, check_eligibility, describe_instance
from fillip.manage.explain.explanation import build_explanation, check_decided


async def explain_samples(samples: Sequence[Decided], book: Book, numbers: UserNumbers) -> list[ExplanationAnswer]:
    """Each with every check, in the order of the path. Raises Retry."""
    tenant_id = book.tenant.tenant_id
    users = {each.request.match.event.user_id for each in samples}
    found = (await numbers.find({tenant_id: users}, {tenant_id: book}))[tenant_id] if users else {}
    return [_explain(each, book, found.get(each.request.match.event.user_id)) for each in samples]


def _explain(decided: Decided, book: Book, number: int | None) -> ExplanationAnswer:
    request, decision = decided.request, decided.decision
    match = request.match
    try:
        user = book.read_user(match.user or {})
    except Unreadable:
        user = {}
    cohorts = list_mine(number, book.cohorts, book.cohorts)
    context = EventContext(request.campaign_version, match.event, user, cohorts, match.user_revision)
    checks = check_eligibility(context, match.event.received_at)
    if instance := decided.instance:
        message, described = wording.tell_completed(instance), describe_instance(instance)
        checks.append(Check(check="quest", passed=True, message=message, instances=[described]))
    checks += check_decided(context, decision.reason, decision.outranked_by, decision.uses)
    return build_explanation(context, checks, decision.outcome, decision.reason, as_of="backtest")


def write_samples(answers: Sequence[ExplanationAnswer]) -> list[object]:
    """As JSON values."""
    return [json.decode(each.model_dump_json()) for each in answers]
