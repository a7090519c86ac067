"""What saving a quest checks of how events find its open instances."""

from collections.abc import Mapping

from fillip.core.book.route import find_path, list_asked_by_step
from fillip.core.campaign.campaign import Campaign, CheckedExpression
from fillip.core.campaign.expression import name_path
from fillip.core.campaign.quest import Keyed
from fillip.core.problem import Fault
from fillip.core.quest.instance import MAX_OPEN, MAX_TOGETHER
from fillip.core.rule import decode_rule, list_reads


def check_route(
    campaign: Campaign, before: Mapping[str, CheckedExpression], after: Mapping[str, CheckedExpression]
) -> list[Fault]:
    """Where a launched quest's open instances would no longer be found by the attribute that all steps ask for.

    `before` and `after` are the campaign's checked expressions by path.
    """
    path = find_path(list_asked_by_step(campaign.quest, before)) if campaign.quest else None
    if campaign.quest is None or path is None or path == find_path(list_asked_by_step(campaign.quest, after)):
        return []
    start = f"start.{'.'.join(path)}"
    message = f"a launched quest goes on to ask for {start}: open instances are found by what first has to equal it"
    return [Fault("/quest/steps/0/rule", message)]


def list_warnings(campaign: Campaign, checked: Mapping[str, CheckedExpression]) -> list[Fault]:
    """The steps of a keyed quest that do not ask for what the key reads; `checked` are its expressions by path."""
    if campaign.quest is None or not isinstance(campaign.quest.instance, Keyed):
        return []
    key = decode_rule(checked[name_path("key")].code)
    reads = [path for path, _ in list_reads(key.root) if path.startswith("event.")]
    warnings = []
    for index, asked in enumerate(list_asked_by_step(campaign.quest, checked)):
        if reads and not any(f"event.{'.'.join(path)}" in reads for path in asked):
            start = reads[0].replace("event.", "start.", 1)
            message = (
                "does not ask for the key: an event counts for every open instance that waits for this step, and a user"
                f" can have {MAX_TOGETHER} open; with '{reads[0]} == {start}' in each step's rule, {MAX_OPEN}"
            )
            warnings.append(Fault(f"/quest/steps/{index}/rule", message))
    return warnings
