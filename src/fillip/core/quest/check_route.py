"""What saving a quest checks of how events find its open instances."""

from collections.abc import Iterator, Mapping

from fillip.core.book.route import find_path, list_asked_by_step
from fillip.core.campaign.campaign import CheckedExpression
from fillip.core.campaign.expression import name_path
from fillip.core.campaign.quest import Keyed, Quest
from fillip.core.problem import Fault
from fillip.core.quest.instance import MAX_OPEN, MAX_TOGETHER
from fillip.core.rule import decode_rule, list_reads


def find_route_faults(
    quest: Quest, before: Mapping[str, CheckedExpression], after: Mapping[str, CheckedExpression]
) -> Iterator[Fault]:
    """Where open instances would no longer be found by the attribute that all steps ask for; by the checked rules."""
    path = find_path(list_asked_by_step(quest, before))
    if path and path != find_path(list_asked_by_step(quest, after)):
        start = f"start.{'.'.join(path)}"
        message = f"a launched quest goes on to ask for {start}: open instances are found by what first has to equal it"
        yield Fault("/quest/steps/0/rule", message)


def list_warnings(quest: Quest, checked: Mapping[str, CheckedExpression]) -> Iterator[Fault]:
    """The steps of a keyed quest that do not ask for what the key reads."""
    if not isinstance(quest.instance, Keyed):
        return
    key = decode_rule(checked[name_path("key")].code)
    reads = [path for path, _ in list_reads(key.root) if path.startswith("event.")]
    for index, asked in enumerate(list_asked_by_step(quest, checked)):
        if reads and not any(f"event.{'.'.join(path)}" in reads for path in asked):
            start = reads[0].replace("event.", "start.", 1)
            message = (
                "does not ask for the key: an event counts for every open instance that waits for this step, and a user"
                f" can have {MAX_TOGETHER} open; with '{reads[0]} == {start}' in each step's rule, {MAX_OPEN}"
            )
            yield Fault(f"/quest/steps/{index}/rule", message)
