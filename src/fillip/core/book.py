"""The book: one tenant's campaigns, limits, cohorts and schemas at one version. A batch pins one."""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Literal

from msgspec import Struct

from fillip.core.campaign import Campaign, CampaignState, Checked
from fillip.core.limit import Limit
from fillip.core.rule import Rule, compile_rule
from fillip.core.tenant import Tenant


class Action(Struct, frozen=True):
    """A verb and its JSON Schema. `read` validates and coerces attributes for rules; it raises Unreadable."""

    name: str
    schema: Mapping[str, object]
    read: Callable[[Mapping[str, object]], dict[str, object]]


class Entry(Struct, frozen=True, dict=True):
    """A campaign version in force. Rules are compiled at the first candidate and kept."""

    campaign_id: str
    version: int
    state: CampaignState
    campaign: Campaign
    checked: Mapping[str, Checked]

    @cached_property
    def rules(self) -> dict[str, Rule]:
        """Compiled rules by their path in the definition."""
        return {path: compile_rule(checked.code) for path, checked in self.checked.items()}


class Role(Struct, frozen=True, dict=True):
    """One way in which events of an action concern a campaign: its rule, the quest's start, or one of its steps."""

    entry: Entry
    path: str
    part: Literal["simple", "start", "step"]
    step: int = -1

    @cached_property
    def rule(self) -> Rule:
        """Its compiled rule."""
        return self.entry.rules[self.path]

    @property
    def uses_user(self) -> bool:
        """Whether the rule reads the user's attributes."""
        return self.entry.checked[self.path].uses_user

    @property
    def uses_cohorts(self) -> bool:
        """Whether the rule reads the user's cohorts."""
        return self.entry.checked[self.path].uses_cohorts


class Book(Struct, frozen=True, dict=True):
    """`by_action` lists, for each action, the roles that its events can play: only these are looked at."""

    tenant: Tenant
    version: int
    actions: Mapping[str, Action]
    read_user: Callable[[Mapping[str, object]], dict[str, object]]
    entries: Mapping[str, Entry]
    by_action: Mapping[str, tuple[Role, ...]]
    limits: Mapping[str, Limit]
    cohorts: Mapping[str, tuple[int, frozenset[str]]]  # id -> (version, members)

    @cached_property
    def limits_by_campaign(self) -> dict[str, tuple[Limit, ...]]:
        """Limits that a grant of each campaign may touch, in the order of their ids."""
        return {campaign_id: self._limits_of(entry) for campaign_id, entry in self.entries.items()}

    @cached_property
    def key_rules(self) -> dict[str, Rule]:
        """Compiled key expressions by limit id."""
        return {i: compile_rule(limit.key_checked) for i, limit in self.limits.items() if limit.key_checked}

    def _limits_of(self, entry: Entry) -> tuple[Limit, ...]:
        kinds = {reward.kind for reward in entry.campaign.rewards}
        return tuple(
            limit
            for _, limit in sorted(self.limits.items())
            if limit.campaign_id in (None, entry.campaign_id)
            and (limit.reward_kind is None or limit.reward_kind in kinds)
        )


def list_roles(entry: Entry) -> list[tuple[str, Role]]:
    """(action, role) for every expression of a campaign."""
    roles: list[tuple[str, Role]] = []
    for path, action, _ in entry.campaign.expressions():
        if path == "rule":
            roles.append((action, Role(entry, path, "simple")))
        elif path == "quest.start.rule":
            roles.append((action, Role(entry, path, "start")))
        else:
            roles.append((action, Role(entry, path, "step", int(path.split(".")[2]))))
    return roles
