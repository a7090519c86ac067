"""What an explanation says of the quest instance that a decision's event completed, and of the events that each step was given."""

from fillip.core.ports import Caller
from fillip.manage.decision.postgres import DecisionRow
from fillip.manage.explain import wording
from fillip.manage.explain.answer import Check
from fillip.manage.explain.checks import describe_instance
from fillip.manage.explain.postgres import find_completed, list_given
from fillip.manage.store.postgres import Connection


async def check_instance(connection: Connection, caller: Caller, decision: DecisionRow) -> Check | None:
    """The instance that a decision's event completed, as it stands; None where it is no more, or there was no quest."""
    instance = await find_completed(connection, caller, decision)
    if instance is None:
        return None
    described = describe_instance(instance)
    for step, given in await list_given(connection, caller, decision, instance):
        next(each for each in described.steps if each.name == step).given.append(given)
    return Check(check="quest", passed=True, message=wording.tell_completed(instance), instances=[described])
