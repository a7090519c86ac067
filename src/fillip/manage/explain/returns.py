"""What returns in part asked again of a decision, with every condition of the rule, as it stood for what was left of the event."""

from collections.abc import Sequence

from msgspec.structs import replace

from fillip.core.schema.coerce import SchemaViolation
from fillip.core.schema.reader import ReadEvent
from fillip.manage.explain.answer import AskedAgainAnswer
from fillip.manage.explain.checks import EventContext, explain_rules
from fillip.manage.explain.returns_postgres import ReversalRow
from fillip.manage.explain.rewards import check_worth


def explain_returns(context: EventContext, read: ReadEvent, rows: Sequence[ReversalRow]) -> list[AskedAgainAnswer]:
    """Each of these reversals before the campaign that a decision was made by; one in other types than then is left out."""
    told = []
    for row in rows:
        try:
            typed = read(row.request["after"], context.event.occurred_at)
        except SchemaViolation:
            continue
        left = replace(context, event=replace(context.event, attributes=row.request["after"], typed=typed))
        answer = AskedAgainAnswer(
            reversal_id=row.reversal_id,
            reversal_source=row.reversal_source,
            attributes=row.request["after"],
            rules=explain_rules(left),
            rewards=check_worth(left)[0].rewards or [],
        )
        told.append(answer)
    return told
