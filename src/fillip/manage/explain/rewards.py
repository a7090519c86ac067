"""What explanations say of a grant's rewards: each value, with what its formula read."""

from fillip.core.campaign.expression import name_path
from fillip.core.campaign.formula import evaluate
from fillip.core.campaign.reward import Reward
from fillip.core.match.reward_values import RewardValues, value_rewards
from fillip.core.rule import RuleError, list_inputs
from fillip.manage.explain import wording
from fillip.manage.explain.answer import Check, WorthAnswer
from fillip.manage.explain.checks import EventContext


def check_worth(context: EventContext) -> tuple[Check, RewardValues]:
    """What each reward that the user would get is worth for the event, and why they can't be granted if so."""
    worth = value_rewards(context.event, context.campaign_version, context.user, context.cohorts)
    given = context.campaign_version.campaign.list_rewards(context.event.find_variant(context.campaign_version))
    rewards = [_describe(context, index, reward, worth.values[index]) for index, reward in given.items()]
    check = Check(
        check="reward",
        passed=worth.refused is None,
        reason=worth.refused,
        message=wording.REWARDS[worth.refused] if rewards else "there is no reward for the user",
        rewards=rewards,
    )
    return check, worth


def _describe(context: EventContext, index: int, reward: Reward, value: int) -> WorthAnswer:
    given = WorthAnswer(kind=reward.kind, currency=reward.currency, value=value)
    campaign_version, event = context.campaign_version, context.event
    if reward.formula is None or event.action != campaign_version.campaign.granting_action():
        return given
    values = event.typed, context.user, context.cohorts
    given.source = reward.formula.of
    code = campaign_version.checked[name_path("formula", index)].code
    given.reads = list_inputs(code, *values, lists=campaign_version.lists)
    try:
        given.amount, given.value = evaluate(reward.formula, campaign_version.formulas[index][1], *values)
    except RuleError as error:
        given.value, given.error = None, str(error)
    return given
