"""What saving a campaign checks: its definition, then every expression typed, then all of them together."""

from collections.abc import Mapping

from fillip.core.campaign.campaign import Campaign, CheckedExpression
from fillip.core.campaign.check_definition import check_definition
from fillip.core.campaign.check_exclusive import check_exclusive, check_group
from fillip.core.campaign.check_returns import check_reevaluated
from fillip.core.campaign.vocabulary import Vocabulary
from fillip.core.ports import Caller
from fillip.core.problem import Fault
from fillip.core.rule import RuleRefused
from fillip.http.errors import Conflict, refuse
from fillip.manage.campaign.definition import read_definition
from fillip.manage.campaign.expressions import check_cost, check_expression, check_size
from fillip.manage.campaign.postgres import find_in_group, find_unbuilt
from fillip.manage.store.postgres import Connection

MAX_FAULTS = 20
"""Expressions of a definition that are refused at once, most."""


def check_campaign(campaign: Campaign, vocabulary: Vocabulary) -> dict[str, CheckedExpression]:
    """The checked expressions by their path, as kept beside the version; raises DefinitionRefused with all faults."""
    refuse(check_definition(campaign, vocabulary))
    refuse(check_size(campaign.expressions))
    checked: dict[str, CheckedExpression] = {}
    faults: list[Fault] = []
    for expression in campaign.expressions:
        try:
            checked[expression.path] = check_expression(expression, vocabulary.types)
        except RuleRefused as refused:
            faults.append(Fault(expression.pointer, str(refused)))
            if len(faults) >= MAX_FAULTS:
                break
    refuse(faults)
    refuse(check_cost(campaign.expressions, checked))
    refuse(list(check_reevaluated(campaign, checked)))
    return checked


async def check_conflict(connection: Connection, caller: Caller, campaign_id: str | None, campaign: Campaign) -> None:
    """Whether the campaign's part in conflicts goes together, by itself and with its group, whose members pick alike.

    Call it under the tenant's lock. Raises DefinitionRefused with all faults.
    """
    faults = check_exclusive(campaign)
    if campaign.exclusive:
        row = await find_in_group(connection, caller, campaign.exclusive.group, but=campaign_id)
        if row:  # the first stands for all: each was checked against it
            faults += check_group(campaign, row.campaign_id, read_definition(row))
    refuse(faults)


async def require_lists(
    connection: Connection, caller: Caller, campaign: Campaign, checked: Mapping[str, CheckedExpression]
) -> None:
    """Raise Conflict where a campaign that is to count asks for a cohort that has had no list yet: nobody would be in it."""
    asked = {*campaign.cohorts, *(name for each in checked.values() for name in each.cohorts)}
    if empty := await find_unbuilt(connection, caller, asked):
        raise Conflict(f"no list yet has cohort {', '.join(empty)}: upload one first; for nobody, an empty one")
