"""What saving a campaign checks: its definition, then every expression typed, then all of them together."""

from fillip.core.campaign.campaign import Campaign, CheckedExpression
from fillip.core.campaign.check_definition import check_definition
from fillip.core.campaign.check_exclusive import check_exclusive, check_group
from fillip.core.campaign.vocabulary import Vocabulary
from fillip.core.ports import Caller
from fillip.core.problem import Fault
from fillip.core.rule import RuleRefused
from fillip.http.errors import refuse
from fillip.manage.campaign.definition import read_definition
from fillip.manage.campaign.expressions import check_cost, check_expression, check_size
from fillip.manage.campaign.postgres import find_in_group
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
