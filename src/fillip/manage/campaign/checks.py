"""What saving a campaign or a limit checks: every expression typed, every name known, nothing that can't be reached."""

from collections.abc import Mapping

from fillip.core.campaign.campaign import Campaign, CheckedExpression
from fillip.core.campaign.check_definition import _check_kind, _check_names, _check_schedule
from fillip.core.campaign.check_quest import find_change_faults, find_quest_faults
from fillip.core.campaign.check_rewards import check_badges, check_formulas
from fillip.core.campaign.quest import Quest
from fillip.core.campaign.vocabulary import Vocabulary
from fillip.core.problem import Fault
from fillip.core.quest.check_route import find_route_faults
from fillip.core.rule import RuleRefused
from fillip.http.errors import DefinitionRefused
from fillip.manage.campaign.expressions import check_cost, check_expression, check_size

MAX_FAULTS = 20
"""Expressions of a definition that are refused at once, most."""


def check_campaign(campaign: Campaign, vocabulary: Vocabulary) -> dict[str, CheckedExpression]:
    """The checked expressions by their path, as kept beside the version; raises DefinitionRefused with all faults."""
    faults = [*_check_kind(campaign), *_check_schedule(campaign), *_check_names(campaign, vocabulary)]
    faults += [*check_formulas(campaign), *check_badges(campaign)]
    if campaign.quest:
        faults += find_quest_faults(campaign.quest, campaign, vocabulary.now)
    faults += [] if faults else check_size(campaign.expressions)
    checked: dict[str, CheckedExpression] = {}
    for expression in () if faults else campaign.expressions:
        try:
            checked[expression.path] = check_expression(expression, vocabulary.types)
        except RuleRefused as refused:
            faults.append(Fault(expression.pointer, str(refused)))
            if len(faults) >= MAX_FAULTS:
                break
    faults += [] if faults else check_cost(campaign.expressions, checked)
    if faults:
        raise DefinitionRefused(faults)
    return checked


def check_change(before: Campaign, after: Campaign) -> None:
    """Whether a launched campaign may become `after`: open instances must stay readable; raises DefinitionRefused."""
    if before.kind != after.kind:
        raise DefinitionRefused([Fault("/kind", "a launched campaign keeps its kind: end it and make another")])
    if before.quest and after.quest and (faults := list(find_change_faults(before.quest, after.quest))):
        raise DefinitionRefused(faults)


def check_route(
    quest: Quest | None, before: Mapping[str, CheckedExpression], after: Mapping[str, CheckedExpression]
) -> None:
    """Whether a launched quest's open instances are found as before; raises DefinitionRefused."""
    if quest and (faults := list(find_route_faults(quest, before, after))):
        raise DefinitionRefused(faults)
