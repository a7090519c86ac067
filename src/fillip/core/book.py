"""The book: one tenant's campaigns, limits, cohorts, lists and schemas at one version. A batch pins one."""

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from functools import cached_property
from operator import is_
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from fillip.core.campaign import Campaign, CampaignState, Checked, name_formula
from fillip.core.cast import Cast
from fillip.core.formula import Formula
from fillip.core.index import Clauses, read_clauses
from fillip.core.limit import Limit
from fillip.core.named_list import Lists
from fillip.core.route import Route, build_route
from fillip.core.rule import Rule, compile_rule, decode_rule, split_rule
from fillip.core.tenant import Tenant


class Action(Struct, frozen=True):
    """A verb and its JSON Schema. `read` validates and coerces attributes for rules; it raises Unreadable."""

    name: str
    schema: Mapping[str, object]
    read: Callable[[Mapping[str, object]], dict[str, object]]


class Entry(Struct, frozen=True, dict=True):
    """A campaign version in force, with the lists that its rules read. Rules are compiled at the first candidate and kept.

    `kept` are the earlier versions, the earliest first, that open instances of the quest go on under.
    """

    campaign_id: str
    version: int
    state: CampaignState
    campaign: Campaign
    checked: Mapping[str, Checked]
    lists: Lists = {}
    kept: tuple["Entry", ...] = ()

    @property
    def is_paused(self) -> bool:
        """Whether it grants nothing for what it meets: it is told so, and that is for good (see core.settlement)."""
        return self.state == "paused"

    def fits(self, lists: Lists) -> bool:
        """Whether the lists that its rules read are in `lists` as they are here, so that what was compiled stays right."""
        mine = all(lists.get(list_id) is each for list_id, each in self.lists.items())
        return mine and all(version.fits(lists) for version in self.kept)

    @cached_property
    def rules(self) -> dict[str, Rule]:
        """Compiled expressions by their path in the definition; of a step's rule what needs no instance."""
        whole = {path: each.code for path, each in self.checked.items() if not each.uses_instance}
        compiled = {path: compile_rule(code, self.lists) for path, code in whole.items()}
        return compiled | {path: early or _accept for path, (early, _) in self._halves.items()}

    @cached_property
    def late_rules(self) -> dict[str, Rule]:
        """The rest of those steps' rules that read the instance."""
        return {path: late for path, (_, late) in self._halves.items()}

    @cached_property
    def route(self) -> Route | None:
        """How events find the quest's instances; None where each looks at all."""
        quest = self.campaign.quest
        return build_route(quest, self.checked, self.lists) if quest and self._halves else None

    @cached_property
    def _halves(self) -> dict[str, tuple[Rule | None, Rule]]:
        return {path: split_rule(each.code, self.lists) for path, each in self.checked.items() if each.uses_instance}

    @cached_property
    def roles(self) -> tuple[tuple[str, "Role"], ...]:
        """See list_roles; of the kept versions too. They stay, with what their rules ask, while the version is in force."""
        return (*list_roles(self), *(role for version in self.kept for role in version.roles))

    @cached_property
    def values(self) -> tuple[int, ...]:
        """The fixed value of each reward."""
        return tuple(reward.value for reward in self.campaign.rewards)

    @cached_property
    def formulas(self) -> dict[int, Formula]:
        """Formulas by the index of their reward."""
        return {index: reward.formula for index, reward in enumerate(self.campaign.rewards) if reward.formula}

    @cached_property
    def formulas_checked(self) -> list[Checked]:
        """The checked expressions of the formulas."""
        return [self.checked[name_formula(index)] for index in self.formulas]


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

    @cached_property
    def clauses(self) -> Clauses:
        """What its rule asks of single attributes, for the index."""
        return read_clauses(decode_rule(self.entry.checked[self.path].code).root)

    @cached_property
    def uses_user(self) -> bool:
        """Whether the rule, the sum of its step or the campaign's reward reads the user's attributes."""
        return any(checked.uses_user for checked in self._checked)

    @cached_property
    def uses_cohorts(self) -> bool:
        """Whether the rule, the sum of its step or the campaign's reward reads the user's cohorts."""
        return any(checked.uses_cohorts for checked in self._checked)

    @property
    def _checked(self) -> list[Checked]:
        paths = (self.path, f"quest.steps.{self.step}.sum")
        mine = [self.entry.checked[path] for path in paths if path in self.entry.checked]
        return [*mine, *self.entry.formulas_checked]


class Book(Struct, frozen=True, dict=True):
    """`by_action` has, for each action, the roles that its events can play: only these are looked at."""

    tenant: Tenant
    version: int
    actions: Mapping[str, Action]
    read_user: Callable[[Mapping[str, object]], dict[str, object]]
    entries: Mapping[str, Entry]
    by_action: Mapping[str, Cast]
    limits: Mapping[str, Limit]
    cohorts: Mapping[str, tuple[int, Container[str]]]  # id -> (version, members)
    lists: Lists = {}

    @cached_property
    def limits_by_version(self) -> dict[tuple[str, int], tuple[Limit, ...]]:
        """Limits that a grant under each campaign version may touch, in the order of their ids."""
        by_campaign: dict[str | None, list[Limit]] = {None: []}
        for limit in self.limits.values():
            by_campaign.setdefault(limit.campaign_id, []).append(limit)
        versions = [version for entry in self.entries.values() for version in (entry, *entry.kept)]
        return {(each.campaign_id, each.version): _choose_limits(each, by_campaign) for each in versions}

    @cached_property
    def key_rules(self) -> dict[str, Rule]:
        """Compiled key expressions by limit id."""
        keyed = ((limit.limit_id, limit.key_checked) for limit in self.limits.values() if limit.key_checked)
        return {limit_id: compile_rule(code, self.lists) for limit_id, code in keyed}


class Unbuilt(Struct, frozen=True):
    """In place of the book of a tenant whose definitions can't be read, and why: nothing of it can be decided."""

    why: str


def _choose_limits(entry: Entry, by_campaign: Mapping[str | None, list[Limit]]) -> tuple[Limit, ...]:
    units: set[tuple[str | None, str | None]] = {(None, None)}
    for reward in entry.campaign.rewards:
        units |= {(reward.kind, None), (reward.kind, reward.currency)}
    limits = [*by_campaign[None], *by_campaign.get(entry.campaign_id, ())]
    mine = (limit for limit in limits if (limit.reward_kind, limit.currency) in units)
    return tuple(sorted(mine, key=lambda limit: limit.limit_id))


def join_versions(versions: Sequence[Entry]) -> Entry:
    """The newest of a campaign's versions in force, given the earliest first, with the others kept beside it."""
    *earlier, newest = versions
    kept = tuple(replace(each, campaign=each.campaign.beside(newest.campaign)) for each in earlier)
    return replace(newest, kept=kept) if kept else newest


def cast_roles(entries: Iterable[Entry], old: Mapping[str, Cast]) -> dict[str, Cast]:
    """The roles of a book by action; a cast of `old` is kept where nothing has changed."""
    roles: dict[str, list[Role]] = {}
    for entry in entries:
        for action, role in entry.roles:
            roles.setdefault(action, []).append(role)
    return {action: _reuse(old.get(action), each) for action, each in roles.items()}


def _reuse(old: Cast | None, roles: list[Role]) -> Cast:
    same = old is not None and len(old.roles) == len(roles) and all(map(is_, old.roles, roles))
    return old if old is not None and same else Cast(roles)


def _accept(*_: object) -> bool:
    return True


def list_roles(entry: Entry) -> list[tuple[str, Role]]:
    """(action, role) for every rule of a campaign."""
    roles: list[tuple[str, Role]] = []
    for path, action, _ in entry.campaign.expressions():
        if path == "rule":
            roles.append((action, Role(entry, path, "simple")))
        elif path == "quest.start.rule":
            roles.append((action, Role(entry, path, "start")))
        elif path.endswith(".rule"):
            roles.append((action, Role(entry, path, "step", int(path.split(".")[2]))))
    return roles
