"""What saving a campaign or a limit checks: every expression typed, every name known, nothing that can't be reached."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from fillip.core.campaign.campaign import Campaign, Checked
from fillip.core.campaign.quest import Quest
from fillip.core.ledger.wallet import POINTS
from fillip.core.limit import Limit
from fillip.core.problem import Fault
from fillip.core.rule import RuleRefused
from fillip.core.schema.types import EMPTY, ObjectType
from fillip.manage.cel import check_rule
from fillip.manage.earning import check_badges, check_formulas, check_piece, check_points, check_worth
from fillip.manage.quest_rules import check_path, find_change_faults, find_quest_faults, find_route_faults
from fillip.manage.refusals import Invalid
from fillip.manage.source import count_tokens

MAX_DEFINITION_TOKENS = 2000
MAX_DEFINITION_COST = 20_000
MAX_KEY_COST = 1_000
MAX_FAULTS = 20
"""Expressions of a definition that are refused at once, most."""


class Shapes(Struct, frozen=True):
    """What a definition may name: the tenant's currency, the types of its users, actions and lists, its cohorts.

    `points` are its currencies of points, `pools` and `badges` what may be given; `now` is None where its clock is
    `history`.
    """

    currency: str
    user: ObjectType
    actions: Mapping[str, ObjectType]
    cohorts: Collection[str]
    lists: ObjectType = EMPTY
    points: Collection[str] = (POINTS,)
    pools: Collection[str] = ()
    badges: Collection[str] = ()
    now: datetime | None = None


class DefinitionRefused(Invalid):
    """A campaign or limit that means nothing or can't be; `faults` names every place (JSON pointer) at once."""

    kind = "definition-refused"

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__(f"{faults[0].at}: {faults[0].message}", at=faults[0].at, faults=faults)


def fill_currency(campaign: Campaign, currency: str) -> Campaign:
    """The campaign with `currency` written into each cashback that names none, and POINTS into points."""
    usual = {"cashback": currency, "points": POINTS}
    rewards = [replace(reward, currency=reward.currency or usual.get(reward.kind)) for reward in campaign.rewards]
    return replace(campaign, rewards=tuple(rewards))


def check_campaign(campaign: Campaign, shapes: Shapes) -> dict[str, Checked]:
    """The checked expressions by their path, as kept beside the version; raises DefinitionRefused with all faults."""
    faults = [*_check_kind(campaign), *_check_schedule(campaign), *_check_names(campaign, shapes)]
    faults += [*check_formulas(campaign), *check_badges(campaign)]
    if campaign.quest:
        faults += find_quest_faults(campaign.quest, campaign, shapes.now)
    faults += [] if faults else _check_size(campaign)
    checked: dict[str, Checked] = {}
    for path, action, source in [] if faults else list_sources(campaign):
        try:
            checked[path] = check_path(
                campaign, path, source, action, shapes.actions, shapes.user, shapes.lists, shapes.cohorts
            )
        except RuleRefused as refused:
            faults.append(Fault("/" + path.replace(".", "/"), str(refused)))
            if len(faults) >= MAX_FAULTS:
                break
    faults += [] if faults else _check_cost(checked)
    if faults:
        raise DefinitionRefused(faults)
    return checked


def _check_size(campaign: Campaign) -> Iterator[Fault]:
    """What it takes to check all expressions is bounded before any is checked."""
    sizes = [(count_tokens(source), "/" + path.replace(".", "/")) for path, _, source in list_sources(campaign)]
    if (total := sum(size for size, _ in sizes)) > MAX_DEFINITION_TOKENS:
        size, at = max(sizes)
        message = (
            f"all expressions have {total:,} words and signs, at most {MAX_DEFINITION_TOKENS:,}; {size:,} of them here"
        )
        yield Fault(at, message)


def _check_cost(checked: Mapping[str, Checked]) -> Iterator[Fault]:
    total = sum(each.cost for each in checked.values())
    if total > MAX_DEFINITION_COST:
        path = max(checked, key=lambda path: checked[path].cost)
        message = f"all expressions may cost {total:,} steps an event, at most {MAX_DEFINITION_COST:,}"
        yield Fault(
            "/" + path.replace(".", "/"), f"{message}; {checked[path].cost:,} of them this one: make it cheaper"
        )


def list_sources(campaign: Campaign) -> Iterator[tuple[str, str, str]]:
    """Each expression as (path in the definition, action whose schema types it, source)."""
    yield from campaign.expressions()
    for path, source in campaign.formulas():
        yield path, campaign.granting_action() or "", source


def check_key(limit: Limit, action: ObjectType, lists: ObjectType) -> bytes:
    """The key expression of a limit, typed (a string or an int, of the event and lists); raises DefinitionRefused."""
    try:
        rule = check_rule(limit.key or "", action, EMPTY, expect="key", lists=lists)
    except RuleRefused as refused:
        raise DefinitionRefused([Fault("/key", str(refused))]) from None
    if rule.cost > MAX_KEY_COST:
        message = (
            f"the key may cost {rule.cost:,} steps an event, at most {MAX_KEY_COST:,}: a tenant may have many limits"
        )
        raise DefinitionRefused([Fault("/key", message)])
    if rule.uses_cohorts:
        raise DefinitionRefused([Fault("/key", "a key goes by the event alone: 'cohorts' can't be used")])
    return rule.checked


def find_key_action(limit: Limit, campaign: Campaign | None) -> str:
    """The one action whose events can be split by the limit's key; raises DefinitionRefused where there is none.

    A limit with a key is kept with this action, so that no other event of the campaign is asked for its key.
    """
    if campaign is None:
        if limit.action is None:
            raise DefinitionRefused([Fault("/action", "a key needs the action that it reads, or a campaign")])
        return limit.action
    action = _find_granting_action(campaign)
    if limit.action not in (None, action):
        message = f"campaign '{limit.campaign_id}' grants on '{action}': a key reads that"
        raise DefinitionRefused([Fault("/action", message)])
    return action


def check_kept_key(limit: Limit, kept: Mapping[int, Campaign]) -> None:
    """Whether grants under the earlier versions in force have the limit's key too; raises DefinitionRefused."""
    for version, campaign in kept.items():
        if (action := campaign.granting_action()) != limit.action:
            grants = f"grants on '{action}'" if action else "may grant on several actions"
            message = f"version {version}, which open instances are kept under, {grants}: migrate them first"
            raise DefinitionRefused([Fault("/key", message)])


def _find_granting_action(campaign: Campaign) -> str:
    action = campaign.granting_action()
    if action is None:
        message = "an unordered quest may end with events of several actions: no key can be read"
        raise DefinitionRefused([Fault("/key", message)])
    return action


def check_limit(limit: Limit) -> None:
    """Whether the parts of a limit go together; raises DefinitionRefused with all faults."""
    faults = []
    of_campaign = limit.scope in ("campaign", "user_in_campaign")
    if of_campaign != (limit.campaign_id is not None):
        word = "needs" if of_campaign else "can't have"
        faults.append(Fault("/campaign_id", f"scope '{limit.scope}' {word} a campaign_id"))
    if limit.measure == "value" and limit.reward_kind is None:
        faults.append(Fault("/reward_kind", "a limit by value needs the kind of reward whose values it adds up"))
    if limit.currency and not (limit.measure == "value" and limit.reward_kind in ("points", "cashback")):
        faults.append(Fault("/currency", "goes with points or cashback by value only"))
    if faults:
        raise DefinitionRefused(faults)


def fill_limit_currency(limit: Limit, currency: str, points: Collection[str]) -> Limit:
    """The limit with the currency whose values it adds up, where it counts points or cashback by value.

    `currency` is the tenant's, `points` are its currencies of points besides POINTS. Raises DefinitionRefused.
    """
    if limit.measure != "value" or limit.reward_kind not in ("points", "cashback"):
        return limit
    known = sorted({POINTS, *points}) if limit.reward_kind == "points" else [currency]
    if limit.currency is None and len(known) == 1:
        return replace(limit, currency=known[0])
    if limit.currency not in known:
        message = f"name the currency that it adds up, one of {', '.join(known)}: they can't be added to each other"
        raise DefinitionRefused([Fault("/currency", message)])
    return limit


def check_change(before: Campaign, after: Campaign) -> None:
    """Whether a launched campaign may become `after`: open instances must stay readable; raises DefinitionRefused."""
    if before.kind != after.kind:
        raise DefinitionRefused([Fault("/kind", "a launched campaign keeps its kind: end it and make another")])
    if before.quest and after.quest and (faults := list(find_change_faults(before.quest, after.quest))):
        raise DefinitionRefused(faults)


def check_route(quest: Quest | None, before: Mapping[str, Checked], after: Mapping[str, Checked]) -> None:
    """Whether a launched quest's open instances are found as before; raises DefinitionRefused."""
    if quest and (faults := list(find_route_faults(quest, before, after))):
        raise DefinitionRefused(faults)


def _check_kind(campaign: Campaign) -> Iterator[Fault]:
    if campaign.kind == "SIMPLE":
        if not campaign.action:
            yield Fault("/action", "a SIMPLE campaign needs the action that it rewards")
        if campaign.quest:
            yield Fault("/quest", "a SIMPLE campaign has no quest: its kind would be QUEST")
        return
    if not campaign.quest:
        yield Fault("/quest", "a QUEST campaign needs its quest")
    if campaign.action or campaign.rule != "true":
        yield Fault("/action" if campaign.action else "/rule", "a QUEST has its actions and rules in its steps")


def _check_schedule(campaign: Campaign) -> Iterator[Fault]:
    starts_at, ends_at = campaign.schedule.starts_at, campaign.schedule.ends_at
    if starts_at and ends_at and ends_at < starts_at:
        yield Fault("/schedule/ends_at", "the schedule ends before it starts")


def _check_names(campaign: Campaign, shapes: Shapes) -> Iterator[Fault]:
    for path, action, _ in campaign.expressions():
        if action and action not in shapes.actions:
            at = "/" + path.replace(".", "/").removesuffix("rule") + "action"
            yield Fault(at, f"unknown action '{action}': define it first")
    for index, cohort_id in enumerate(campaign.cohorts):
        if cohort_id not in shapes.cohorts:
            yield Fault(f"/cohorts/{index}", f"unknown cohort '{cohort_id}': make it first")
    for index, reward in enumerate(campaign.rewards):
        yield from check_worth(reward, f"/rewards/{index}")
        yield from check_points(reward, f"/rewards/{index}", shapes.points)
        yield from check_piece(reward, f"/rewards/{index}", shapes.pools, shapes.badges)
        if reward.kind != "points" and reward.currency not in (None, shapes.currency):
            yield Fault(
                f"/rewards/{index}/currency", f"must be the tenant's, {shapes.currency}: its money is of one currency"
            )
