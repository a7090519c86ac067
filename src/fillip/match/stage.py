"""The one stage of match: schedule, cohort and rule of the campaigns that look at an event's action."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from fillip.core.book import Book, Role
from fillip.core.errors import Unreadable
from fillip.core.event import ACCEPTED_FOR, Event, Rejection
from fillip.core.match import Candidate, Match
from fillip.core.ports import UserAttributes
from fillip.core.reversal import REVERSAL
from fillip.core.rule import RuleError
from fillip.core.touch import list_touches
from fillip.match.roster import Refusals, Roles, draw_rosters, list_open_roles
from fillip.stream.belt import take_portions

Attributes = Mapping[str, object]


class Meet:
    """Stage: events in, those that meet a campaign out, with rejections passed through in their order."""

    def __init__(self, users: UserAttributes, count: Callable[[Refusals], None]) -> None:
        """`users` reads attributes once a batch, where a rule asks for them; `count` is told of refusals once a batch."""
        self._users = users
        self._count = count

    async def __call__(self, items: Sequence[Event | Rejection]) -> list[Match | Rejection]:
        """Raises Retry when attributes can't be read."""
        refusals: Refusals = Counter()
        events = [item for item in items if isinstance(item, Event)]
        rosters = draw_rosters(events, refusals)
        open_roles = [list_open_roles(event, rosters[event.tenant_id, event.action], refusals) for event in events]
        users = await self._read_users(events, open_roles)
        left = zip(events, open_roles, strict=True)
        met: list[Match | Rejection] = []
        async for portion in take_portions(items):
            for item in portion:
                if isinstance(item, Rejection):
                    met.append(item)
                elif match := _meet(*next(left), users, refusals):
                    met.append(match)
        self._count(refusals)
        return met

    async def _read_users(
        self, events: Sequence[Event], open_roles: Sequence[Roles]
    ) -> Mapping[tuple[str, str], Attributes]:
        wanted = {
            (event.tenant_id, event.user_id) for event, roles in zip(events, open_roles, strict=True) if roles.use_user
        }
        return await self._users.read(wanted) if wanted else {}


def _meet(event: Event, roles: Roles, users: Mapping[tuple[str, str], Attributes], refusals: Refusals) -> Match | None:
    if event.action == REVERSAL:  # meets no campaign, and is settled all the same
        return Match(event, ())
    book, asked = event.book, roles.each
    user: Attributes | None = None
    typed_user: Attributes = {}
    if roles.use_user:
        user = users.get((event.tenant_id, event.user_id))
        asked, typed_user = _read_user(event, user, asked, refusals)
    cohorts = _list_cohorts(book, event.user_id) if roles.use_cohorts else frozenset()
    met = _apply_rules(event, asked, typed_user, cohorts, refusals)
    candidates = [c for found in met.values() if (c := _nominate(event, found, typed_user, cohorts, refusals))]
    if not candidates:
        return None
    candidates.sort(key=lambda candidate: (-candidate.entry.campaign.priority, candidate.entry.campaign_id))
    targeted = [cohort for c in candidates for cohort in c.entry.campaign.cohorts if cohort in book.cohorts]
    versions = {cohort: book.cohorts[cohort][0] for cohort in [*targeted, *cohorts]}
    return Match(event, candidates, user, versions, late=_is_late(event))


def _apply_rules(
    event: Event, roles: Sequence[Role], user: Attributes, cohorts: frozenset[str], refusals: Refusals
) -> Mapping[str, list[Role]]:
    """The roles whose rule holds, by campaign. An error of a rule is no match, and counted."""
    met: dict[str, list[Role]] = {}
    typed = event.typed
    for role in roles:
        try:
            if role.rule(typed, user, cohorts):
                met.setdefault(role.entry.campaign_id, []).append(role)
        except RuleError:
            refusals[event.tenant_id, role.entry.campaign_id, "rule_error"] += 1
    return met


def _read_user(
    event: Event, user: Attributes | None, roles: Sequence[Role], refusals: Refusals
) -> tuple[Sequence[Role], Attributes]:
    """What rules read of a user. Where an attribute that the schema requires is missing, the rules that ask fail."""
    try:
        return roles, event.book.read_user(user or {})
    except Unreadable:
        for role in roles:
            if role.uses_user:
                refusals[event.tenant_id, role.entry.campaign_id, "rule_error"] += 1
        return [role for role in roles if not role.uses_user], {}


def _nominate(
    event: Event,
    roles: Sequence[Role],
    user: Attributes,
    cohorts: frozenset[str],
    refusals: Refusals,
) -> Candidate | None:
    entry = roles[0].entry
    try:
        touches = list_touches(event, entry, user, cohorts)
    except RuleError:
        refusals[event.tenant_id, entry.campaign_id, "key_error"] += 1
        return None
    steps = tuple(role.step for role in roles if role.part == "step")
    return Candidate(entry, touches, starts=any(role.part == "start" for role in roles), steps=steps)


def _list_cohorts(book: Book, user_id: str) -> frozenset[str]:
    return frozenset(cohort for cohort, (_, members) in book.cohorts.items() if user_id in members)


def _is_late(event: Event) -> bool:
    return event.book.tenant.clock == "live" and event.occurred_at < event.received_at - ACCEPTED_FOR
