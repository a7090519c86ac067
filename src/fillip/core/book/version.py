"""The versions of a campaign that are in force, their compiled rules, and how events of each action concern them."""

from collections.abc import Mapping, Sequence
from functools import cached_property

from msgspec import Struct
from msgspec.structs import replace

from fillip.core.book.route import Route, build_route
from fillip.core.campaign.campaign import Campaign, CampaignState, CheckedExpression
from fillip.core.campaign.expression import Expression, name_path
from fillip.core.campaign.formula import Formula
from fillip.core.campaign.reward_kind import KINDS
from fillip.core.identity import name_shadow
from fillip.core.index import Clauses, read_clauses
from fillip.core.limit import Limit
from fillip.core.named_list import Lists
from fillip.core.rule import Rule, compile_rule, decode_rule, split_rule


class CampaignVersion(Struct, frozen=True, dict=True):
    """A campaign version in force, with the lists that its rules read. Rules are compiled at the first candidate and kept.

    `retained` are the earlier versions, the earliest first, that open instances of the quest go on under.
    """

    campaign_id: str
    version: int
    state: CampaignState
    campaign: Campaign
    checked: Mapping[str, CheckedExpression]
    lists: Lists = {}
    retained: tuple["CampaignVersion", ...] = ()

    @cached_property
    def is_paused(self) -> bool:
        """Whether it grants nothing for what it meets: it is told so, and that is for good (see core.ledger.settlement)."""
        return self.state == "paused"

    @cached_property
    def is_shadow(self) -> bool:
        """Whether it only tells what it would grant, by itself: it takes nothing, and stands in nobody's way."""
        return self.state == "shadow"

    @cached_property
    def quest_id(self) -> str:
        """Whose the instances of its quest are: the campaign's, or those of this version in shadow, which no other finds."""
        return name_shadow(self.campaign_id, self.version) if self.is_shadow else self.campaign_id

    def fits(self, lists: Lists) -> bool:
        """Whether the lists that its rules read are in `lists` as they are here, so that what was compiled stays right."""
        mine = all(lists.get(list_id) is each for list_id, each in self.lists.items())
        return mine and all(version.fits(lists) for version in self.retained)

    @cached_property
    def rules(self) -> dict[str, Rule]:
        """Compiled expressions by their path in the definition; of a step's rule what needs no instance."""
        whole = {path: each.code for path, each in self.checked.items() if not each.uses_instance}
        compiled = {path: compile_rule(code, self.lists) for path, code in whole.items()}
        return compiled | {path: early or _accept for path, (early, _) in self._halves.items()}

    @cached_property
    def sums(self) -> dict[int, Rule]:
        """Compiled sums by the index of their step."""
        return {each.index: self.rules[each.path] for each in self.campaign.expressions if each.kind == "sum"}

    @cached_property
    def distinct(self) -> dict[int, Rule]:
        """Compiled, what steps count different values of, by the index of their step."""
        return {each.index: self.rules[each.path] for each in self.campaign.expressions if each.kind == "distinct"}

    @cached_property
    def late_rules(self) -> dict[int, Rule]:
        """The rest of those steps' rules that read the instance, by the index of the step."""
        steps = {each.path: each.index for each in self.campaign.expressions if each.kind == "step"}
        return {steps[path]: late for path, (_, late) in self._halves.items()}

    @cached_property
    def route(self) -> Route | None:
        """How events find the quest's instances; None where each looks at all."""
        quest = self.campaign.quest
        return build_route(quest, self.checked, self.lists) if quest and self._halves else None

    @cached_property
    def _halves(self) -> dict[str, tuple[Rule | None, Rule]]:
        return {path: split_rule(each.code, self.lists) for path, each in self.checked.items() if each.uses_instance}

    @cached_property
    def triggers(self) -> tuple["Trigger", ...]:
        """See list_triggers; of the retained versions too. They stay, with what their rules ask, while the version is in force."""
        return (*list_triggers(self), *(trigger for version in self.retained for trigger in version.triggers))

    @cached_property
    def values(self) -> tuple[int, ...]:
        """The fixed value of each reward."""
        return tuple(reward.value for reward in self.campaign.rewards)

    @cached_property
    def fixed_values(self) -> Mapping[str | None, tuple[int, ...]]:
        """The value of each reward by variant, 0 for those of other variants, where that is so whatever event comes."""
        rewards = self.campaign.rewards
        if any(reward.formula or reward.is_dated for reward in rewards):
            return {}
        by_variant = self.campaign.rewards_by_variant
        return {
            variant: tuple(value if index in given else 0 for index, value in enumerate(self.values))
            for variant, given in by_variant.items()
        }

    @cached_property
    def limits(self) -> tuple[Limit, ...]:
        """Those of its definition, as they are in force once it is launched."""
        return self.campaign.list_limits(self.campaign_id, self.checked)

    @cached_property
    def wallets(self) -> dict[int, str]:
        """The currency of the wallet that each reward is posted to, by its index; without those that go into none."""
        found = (KINDS[reward.kind].find_wallet(reward.currency) for reward in self.campaign.rewards)
        return {index: currency for index, currency in enumerate(found) if currency}

    @cached_property
    def formulas(self) -> dict[int, tuple[Formula, Rule]]:
        """Formulas with their compiled expressions by the index of their reward."""
        formulas = ((index, reward.formula) for index, reward in enumerate(self.campaign.rewards) if reward.formula)
        return {index: (formula, self.rules[name_path("formula", index)]) for index, formula in formulas}


class Trigger(Struct, frozen=True, dict=True):
    """One way in which events of an action concern a campaign: its rule, the quest's start, or one of its steps."""

    campaign_version: CampaignVersion
    expression: Expression

    @cached_property
    def rule(self) -> Rule:
        """Its compiled rule."""
        return self.campaign_version.rules[self.expression.path]

    @cached_property
    def step(self) -> int | None:
        """The index of the quest's step that it is; None of the start, and of a campaign without a quest."""
        return self.expression.index if self.expression.kind == "step" else None

    @cached_property
    def clauses(self) -> Clauses:
        """What its rule asks of single attributes, for the index."""
        return read_clauses(decode_rule(self.campaign_version.checked[self.expression.path].code).root)

    @cached_property
    def uses_user(self) -> bool:
        """Whether the rule, the sum of its step or the campaign's reward reads the user's attributes."""
        return any(checked.uses_user for checked in self._checked)

    @cached_property
    def uses_cohorts(self) -> bool:
        """Whether the rule, the sum of its step or the campaign's reward reads the user's cohorts."""
        return any(checked.uses_cohorts for checked in self._checked)

    @property
    def _checked(self) -> list[CheckedExpression]:
        version, index = self.campaign_version, self.expression.index
        values = [
            e for e in version.campaign.expressions if e.kind == "formula" or (e.kind == "sum" and e.index == index)
        ]
        return [version.checked[each.path] for each in (self.expression, *values)]


def join_versions(versions: Sequence[CampaignVersion]) -> CampaignVersion:
    """The newest of a campaign's versions in force, given the earliest first, with the others kept beside it."""
    *earlier, newest = versions
    retained = tuple(replace(each, campaign=each.campaign.beside(newest.campaign)) for each in earlier)
    return replace(newest, retained=retained) if retained else newest


def _accept(*_: object) -> bool:
    return True


def list_triggers(campaign_version: CampaignVersion) -> list[Trigger]:
    """One for every rule of a campaign."""
    return [Trigger(campaign_version, each) for each in campaign_version.campaign.expressions if each.is_rule]
