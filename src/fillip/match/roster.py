"""Which roles are open to the events of a batch; what is the same for all of them is looked at once."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from fillip.core.book import Entry, Role
from fillip.core.campaign import REFUSING
from fillip.core.event import Event

Refusals = Counter[tuple[str, str, str]]
"""(tenant, campaign, reason) -> how often, in one batch."""


class Roles(Struct, frozen=True):
    """Roles open to an event, and what their rules read besides it."""

    each: Sequence[Role]
    use_user: bool
    use_cohorts: bool


class Roster(Struct, frozen=True):
    """Roles of one tenant's action in one batch: `open` to every event of it, or to be `asked` for each event."""

    open: Roles
    asked: Sequence[Role]


def draw_rosters(events: Iterable[Event], refusals: Refusals) -> Mapping[tuple[str, str], Roster]:
    """A roster for each (tenant, action) of a batch, which pins one book a tenant.

    Roles that state or schedule close to all of its events are left out and counted here.
    """
    grouped: dict[tuple[str, str], list[Event]] = defaultdict(list)
    for event in events:
        grouped[event.tenant_id, event.action].append(event)
    return {key: _draw(same, refusals) for key, same in grouped.items()}


def list_open_roles(event: Event, roster: Roster, refusals: Refusals) -> Roles:
    """Roles that state, schedule and cohort leave open to one event; the others are counted by reason."""
    if not roster.asked:
        return roster.open
    found = list(roster.open.each)
    for role in roster.asked:
        if reason := refuse(role.entry, event):
            refusals[event.tenant_id, role.entry.campaign_id, reason] += 1
        else:
            found.append(role)
    return _gather(found)


def refuse(entry: Entry, event: Event) -> str | None:
    """Why a campaign does not look at an event before its rule: its state, schedule or cohort; None when it does."""
    if entry.state in REFUSING:
        return entry.state
    if reason := entry.campaign.schedule.refuse(event.occurred_at):
        return reason
    cohorts = entry.campaign.cohorts
    if cohorts and not any(event.user_id in event.book.cohorts[c][1] for c in cohorts if c in event.book.cohorts):
        return "not_in_cohort"
    return None


def _draw(events: Sequence[Event], refusals: Refusals) -> Roster:
    """Tell by the earliest and the latest event: a schedule that answers both alike answers all between alike."""
    event = events[0]
    first, last = min(e.occurred_at for e in events), max(e.occurred_at for e in events)
    standing: list[Role] = []
    asked: list[Role] = []
    for role in event.book.by_action.get(event.action, ()):
        entry, schedule = role.entry, role.entry.campaign.schedule
        reasons = {entry.state} if entry.state in REFUSING else {schedule.refuse(first), schedule.refuse(last)}
        if len(reasons) == 1 and (reason := reasons.pop()):
            refusals[event.tenant_id, entry.campaign_id, reason] += len(events)
        elif reasons or entry.campaign.cohorts:
            asked.append(role)
        else:
            standing.append(role)
    return Roster(_gather(standing), asked)


def _gather(roles: Sequence[Role]) -> Roles:
    return Roles(roles, any(role.uses_user for role in roles), any(role.uses_cohorts for role in roles))
