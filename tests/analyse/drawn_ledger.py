"""A ledger whose rows, changes, repetitions and snapshots are drawn: announced as publish announces them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from fillip.core.identity import identify
from tests.analyse.bay_world import (
    announce,
    decision,
    emptied,
    incentive,
    instance,
    level,
    part,
    rejection,
    reversal,
    transfer,
)
from tests.analyse.stores import AnnouncementLog

CAMPAIGNS = ("welcome", "it's\t\\N", "{campaign_id:String}")
LIMITS = ("budget", "it's\t\\N", "shops")
BEGIN = datetime(2026, 3, 1, 10, tzinfo=UTC)
STATES = ("open", "completed", "denied", "closed", "reversed")

announcements = st.fixed_dictionaries(
    {
        "of": st.sampled_from(
            ("decision", "decision", "reversal", "rejection", "transfer", "part", "incentive", "claim", "ack", "quest", "quest",
             "counter", "counter", "limit", "zone", "level")
        ),
        "partition": st.integers(0, 1),
        "tenant_id": st.sampled_from(("acme", "acme", "rival")),
        "campaign_id": st.sampled_from(CAMPAIGNS),
        "variant": st.sampled_from((None, "a", "b")),
        "user_id": st.sampled_from(("u1", "u2", "ü'\\")),
        "reason": st.sampled_from(("granted", "limit", "holdout", "control", "paused", "shadow", "shadow")),
        "in_shadow": st.booleans(),
        "instance": st.sampled_from(("", "", "i1")),
        "local_day": st.sampled_from(("1970-01-01", "2026-03-01", "2026-03-02", "9998-12-31")),
        "currency": st.sampled_from((None, "EUR", "POINTS")),
        "value": st.one_of(st.integers(0, 1000), st.just(2**63 - 1)),
        "rewards": st.integers(0, 3),
        "movement": st.sampled_from(("grant", "activate", "spend", "expire", "adjust", "refund", "reverse")),
        "accounts": st.sampled_from((("issued", "pending"), ("pending", "active"), ("active", "spent"), ("spent", "active"))),
        "year": st.sampled_from((1970, 2026, 9998)),
        "picked": st.integers(0, 30),
        "how": st.sampled_from(("new",) * 8 + ("repeated", "snapshot")),
    }
)  # fmt: skip
loads = st.lists(st.tuples(st.lists(announcements, min_size=1, max_size=6), st.integers(2, 6)), min_size=1, max_size=4)
faults = st.dictionaries(st.integers(0, 30), st.sampled_from(("before", "after", "late")), max_size=6)


class Ledger:
    """Announces what was drawn, numbered as a ledger numbers it."""

    def __init__(self, log: AnnouncementLog) -> None:
        self._log = log
        self._lsn = 0
        self._epoch = 1
        self._told: list[tuple[dict[str, Any], int]] = []
        self._names: set[tuple[object, ...]] = set()
        """Counters and instances that were told since the last snapshot of their partition."""

    def announce(self, drawn: dict[str, Any]) -> None:
        """Something new, something told before, or the first of a snapshot: behind the mark that nothing before it counts."""
        if drawn["how"] == "repeated" and self._told:
            message, partition = self._told[drawn["picked"] % len(self._told)]
            if message["source"]["epoch"] == f"e{self._epoch}":
                self._log.append(message, partition)
            return
        self._lsn += 1
        partition = drawn["picked"] % 2 if drawn["of"] in ("quest", "counter") else drawn["partition"]
        is_first = drawn["how"] == "snapshot" and drawn["of"] != "claim"  # claims come with the incentives
        if is_first:
            self._names = {name for name in self._names if (name[0], name[-1]) != (drawn["of"], partition)}
        message = WRITERS[drawn["of"]](self, drawn, self._lsn)
        if is_first:
            self._epoch += 1
            self._log.append(emptied(message["source"]["table"], 0, f"e{self._epoch}"), partition)
        committed_at = BEGIN + timedelta(minutes=20 * self._lsn)
        source = message["source"] | {
            "epoch": f"e{self._epoch}",
            "committed_at_us": int(committed_at.timestamp() * 1e6),
        }
        told = message | {"source": source} | ({"op": "r"} if is_first else {})
        self._told.append((told, partition))
        self._log.append(told, partition)

    def is_new(self, *name: object) -> bool:
        """Whether nothing of it was told before; from now on it was."""
        is_new = name not in self._names
        self._names.add(name)
        return is_new


def write_fact(_: Ledger, drawn: dict[str, Any], number: int) -> dict[str, Any]:
    """What happened once."""
    of = drawn["of"]
    instant = datetime(drawn["year"], 3, 1, 10, 0, 0, number, UTC).isoformat(timespec="microseconds")
    tenant, unit = {"tenant_id": drawn["tenant_id"]}, drawn["currency"]
    if of == "decision":
        reward = {"kind": "points" if unit is None else "cashback", "currency": unit, "value": drawn["value"]}
        named = {name: drawn[name] for name in ("campaign_id", "variant", "user_id", "reason", "instance", "local_day")}
        outcome = "granted" if drawn["reason"] == "granted" else "denied"
        given = [reward] * drawn["rewards"]
        named |= {"shadow": drawn["reason"] == "shadow" or (drawn["in_shadow"] and outcome == "denied")}
        return decision(number, **tenant, **named, outcome=outcome, reward_values=given, occurred_at=instant)
    if of == "reversal":
        kind = "points" if unit is None else "cashback"
        picked = 1 + drawn["picked"] % number
        return reversal(number, picked, drawn["value"], **tenant, kind=kind, currency=unit)
    if of == "rejection":
        return rejection(number, **tenant, reason=drawn["reason"], received_at=instant)
    if of == "level":
        direction, levels = ("up", "down", "renamed")[drawn["rewards"] % 3], (drawn["campaign_id"], drawn["user_id"])
        return level(number, direction, levels, instant, **tenant, currency=unit or "STARS")
    lots = {str(lot): drawn["value"] % 1001 - 500 for lot in range(drawn["rewards"])}
    named = tenant | {"currency": unit or "STARS", "made_at": instant}
    if drawn["in_shadow"]:
        named |= {"expiries": [tell(number * 3_000_000) if lot else None for lot in range(drawn["rewards"])]}
    if of == "part":
        return part(number, 1, lots, **named)
    debit, credit = drawn["accounts"]
    return transfer(number, drawn["movement"], debit, credit, drawn["value"], lots=lots, **named)


def write_grant(_: Ledger, drawn: dict[str, Any], number: int) -> dict[str, Any]:
    """An incentive, number `number`: of every third the way is known in part."""
    way = {name: tell(number * 7 + late) for name, late in (("occurred_at", -9), ("received_at", -2))}
    told = incentive(
        number, **(way if number % 3 else {}), granted_at=tell(number * 7), tenant_id=choose_tenant(number)
    )
    told["after"] |= {"campaign_id": drawn["campaign_id"]}
    told["after"] |= {"claimed_at": tell_claimed(number)} if drawn["how"] == "snapshot" and number % 2 else {}
    return told


def write_claim(_: Ledger, drawn: dict[str, Any], number: int) -> dict[str, Any]:
    """A change of an incentive that was claimed, or not."""
    picked = 1 + drawn["picked"] % (number + 2)  # perhaps it is told before it is granted
    after = incentive(picked, tenant_id=choose_tenant(picked))["after"]
    claimed = {} if drawn["in_shadow"] else {"claimed_at": tell_claimed(picked)}
    return announce("incentive", number, "u", "", after | {"state": drawn["instance"]} | claimed)


def write_ack(_: Ledger, drawn: dict[str, Any], number: int) -> dict[str, Any]:
    """A change of an inbox's entry that was acknowledged, or not."""
    picked = 1 + drawn["picked"] % (number + 2)
    after = {"tenant_id": choose_tenant(picked), "kind": "reversed" if drawn["in_shadow"] else "granted"}
    after |= {"incentive_id": str(identify("incentive", str(picked))), "acked_at": tell(picked * 11)}
    return announce("inbox", number, "u", "", after)


def write_quest(ledger: Ledger, drawn: dict[str, Any], number: int) -> dict[str, Any]:
    """An instance as it stands now; where nothing is drawn of its steps, they are as they were."""
    place = drawn["picked"] % 6
    steps = [(drawn["value"] % (place + 3), drawn["year"] % 50 if number % (n + 2) else None) for n in range(3)]
    told = instance(
        place,
        number,
        *steps[drawn["partition"] :],
        tenant_id=choose_tenant(place),
        user_id=f"u{place % 4}",
        campaign_version=1 + drawn["rewards"] % 2,
        state=STATES[drawn["rewards"]],
        started_at=f"2026-03-01T10:{place:02}:00.000000Z",
        ends_at=(None, tell(30))[drawn["partition"]],
    )
    if not ledger.is_new("quest", place, place % 2) and not drawn["rewards"]:
        del told["after"]["steps"]
    return told


def write_counter(ledger: Ledger, drawn: dict[str, Any], number: int) -> dict[str, Any]:
    """A counter as it stands now."""
    place = drawn["picked"] % 6
    name = {"limit_id": LIMITS[place % 3], "key": ("", "k\t'")[place % 2], "user_id": "" if drawn["rewards"] else "u1"}
    name |= {"window_start": ("1970-01-01", "2026-03-01")[drawn["partition"]], "tenant_id": drawn["tenant_id"]}
    op = "c" if ledger.is_new("counter", *name.values(), place % 2) and drawn["in_shadow"] else "u"
    return announce("limit_counter", number, op, "", name | {"used": drawn["value"] % 1001, "version": number})


def write_change(_: Ledger, drawn: dict[str, Any], number: int) -> dict[str, Any]:
    """A change of a limit, or of a tenant."""
    after = {"tenant_id": drawn["tenant_id"], "book_version": number, "kind": "limit"}
    if drawn["of"] == "zone":
        zone = {"time_zone": ("UTC", "Asia/Tokyo")[drawn["partition"]]}
        return announce("book_change", number, "c", "", after | {"kind": "tenant", "object_id": "", "document": zone})
    limit_id = LIMITS[drawn["picked"] % 3]
    document: dict[str, Any] = {"limit_id": limit_id, "scope": ("tenant", "campaign", "user")[number % 3]}
    document |= {"measure": "value", "span": ("day", "month", "lifetime")[drawn["rewards"] % 3], "cap": drawn["value"]}
    document |= {"key": None if drawn["in_shadow"] else "event.shop"}
    if drawn["how"] == "new" and drawn["rewards"] == 3:
        document = {"limit_id": limit_id, "deleted": True}
    return announce("book_change", number, "c", "", after | {"object_id": limit_id, "document": document})


WRITERS = dict.fromkeys(("decision", "reversal", "rejection", "transfer", "part", "level"), write_fact) | {
    "incentive": write_grant,
    "claim": write_claim,
    "ack": write_ack,
    "quest": write_quest,
    "counter": write_counter,
    "limit": write_change,
    "zone": write_change,
}


def choose_tenant(number: int) -> str:
    """Whose something is."""
    return "acme" if number % 3 else "rival"


def tell(seconds: float) -> str:
    """So long after BEGIN."""
    return (BEGIN + timedelta(seconds=seconds)).isoformat(timespec="microseconds")


def tell_claimed(number: int) -> str:
    """When an incentive was claimed: of some before it was delivered."""
    return tell(number * 11 + 3 - 7 * (number % 2))
