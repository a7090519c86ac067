"""What producers say: events and reversals as CloudEvents."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st

from tests.oracle.catalogue import AMOUNTS, HOURS, NOON, PARTS, RECEIVED_AT
from tests.oracle.reversal import REVERSAL

USERS = ["ann", "bob", "cid"]
SHOPS = ["x", "y", None]

Said = tuple[str, str, int, str | None, int]
"""(user, action, amount, shop, hours after NOON) of an event"""
SAID = st.tuples(
    st.sampled_from(USERS),
    st.sampled_from(["BUY", "BUY", "BUY", "JOIN"]),
    st.sampled_from(AMOUNTS),
    st.sampled_from(SHOPS),
    st.sampled_from(HOURS),
)
TakenBack = tuple[int, str | None, Mapping[str, Any]]
"""(an event so far behind the newest, or so far ahead; whose: None for its own user's; of which part)"""
TAKEN_BACK = st.tuples(
    st.sampled_from([-1, -1, -1, -2, -2, -3, -5, 1, 1, 2]),
    st.sampled_from([*[None] * 9, USERS[0]]),
    st.sampled_from(PARTS),
)
NEWEST: TakenBack = (-1, None, {})
BURST = st.lists(st.one_of(SAID, SAID, SAID, TAKEN_BACK), max_size=6)


def name_event(number: int) -> str:
    """The id of what is sent as this one of all messages: two sources count each by itself."""
    return f"e{number // 2}"


def name_till(number: int, kind: str = "till") -> str:
    """Its source."""
    return f"{kind}-{number % 2}"


def write_event(number: int, tenant_id: str, said: Said) -> dict[str, Any]:
    """An event."""
    user, action, amount, shop, hours = said
    data = {"amount": amount, "rate": amount / 100, "shop": shop} if action == "BUY" else {}
    at = NOON + timedelta(hours=hours)
    name = {"id": name_event(number), "source": name_till(number)}
    return _write(tenant_id, name, type=action, subject=user, time=at.isoformat(), data=data)


def write_reversal(
    number: int, tenant_id: str, taken: TakenBack, known: Sequence[Mapping[str, Any]], next_event: int, user: str
) -> dict[str, Any]:
    """A reversal of one of the `known` events, or of one that may come as number `next_event` or later, as `user`'s.

    One in three comes from the original's own source and names none.
    """
    where, owner, part = taken
    if -len(known) <= where < 0:
        original = {"event_id": known[where]["id"], "event_source": known[where]["source"]}
        user = known[where]["subject"]
    else:
        coming = next_event + abs(where) - 1
        original = {"event_id": name_event(coming), "event_source": name_till(coming)}
    name = {"id": name_event(number), "source": name_till(number, "desk")}
    if number % 3 == 0:
        name = {"id": f"r{number}", "source": original.pop("event_source")}
    what = {"type": REVERSAL, "subject": owner or user, "data": {**original, **part}}
    return _write(tenant_id, name, time=RECEIVED_AT.isoformat(), **what)


def write_own(
    tenant_id: str, action: str, own_id: str, user: str, hours: int, data: Mapping[str, Any]
) -> dict[str, Any]:
    """An event that was asked for of Fillip itself, so many hours after NOON."""
    at = NOON + timedelta(hours=hours)
    return _write(
        tenant_id, {"id": own_id, "source": action}, type=action, subject=user, time=at.isoformat(), data=data
    )


def _write(tenant_id: str, name: Mapping[str, str], **said: Any) -> dict[str, Any]:
    return {"specversion": "1.0", "tenantid": tenant_id, **name, **said}
