"""What saving a campaign checks: its definition, then every expression typed, then all of them together."""

from fillip.core.campaign.campaign import Campaign, CheckedExpression
from fillip.core.campaign.check_definition import check_definition
from fillip.core.campaign.vocabulary import Vocabulary
from fillip.core.problem import Fault
from fillip.core.rule import RuleRefused
from fillip.http.errors import refuse
from fillip.manage.campaign.expressions import check_cost, check_expression, check_size

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
