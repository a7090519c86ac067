"""The model's answer against the ledger's, from the stored decisions and inboxes of one tenant.

L1: the same decisions with the same outcomes, replayed in log order (for books in which no shared cap binds). L2: the
same decisions, and each outcome with the use of every counter before it, replayed in the order of the sequence numbers
that were taken under the locks.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import psycopg

from .limits import Stored, Tills, Unordered, Verdict, order_by_sequence
from .model import Claim

SQL = {path.stem: path.read_text() for path in Path(__file__).parent.glob("*.sql")}
SHARED = ("tenant", "campaign")
Inbox = Mapping[str, list[tuple[object, ...]]]
"""user -> (campaign, instance, event, reward index, kind, value), by inbox number"""


def find_differences(
    connection: psycopg.Connection[Any], tenant_id: str, limits: Iterable[Mapping[str, Any]], claims: Sequence[Claim]
) -> list[str]:
    """All that the ledger says otherwise than the model of these claims; [] when they agree."""
    stored = read_decisions(connection, tenant_id, limits)
    binding = {limit["limit_id"] for limit in limits if limit["scope"] in SHARED}
    verdicts: dict[tuple[str, str, str], Verdict] = {}
    found = list(_compare_names(claims, stored))
    if found:
        return found
    if not binding:
        found += compare_in_log_order(claims, stored)
    found += compare_in_sequence(claims, stored, verdicts)
    return found + list(_compare_inboxes(claims, verdicts, read_inboxes(connection, tenant_id)))


def count_breaches(connection: psycopg.Connection[Any], tenant_id: str) -> dict[str, int]:
    """How often a tenant's ledger breaks each invariant, by SQL alone."""
    cursor = connection.execute(SQL["breaches"], {"tenant": tenant_id})
    row = cursor.fetchone()
    assert row and cursor.description
    return {column.name: count for column, count in zip(cursor.description, row, strict=True)}


def read_decisions(
    connection: psycopg.Connection[Any], tenant_id: str, limits: Iterable[Mapping[str, Any]]
) -> list[Stored]:
    """Every decision of a tenant, in no order."""
    shared = {limit["limit_id"] for limit in limits if limit["scope"] in SHARED}
    return [_read(row, shared) for (row,) in connection.execute(SQL["decisions"], [tenant_id])]


def read_inboxes(connection: psycopg.Connection[Any], tenant_id: str) -> Inbox:
    """What each user was given, in the order in which they are told."""
    found = defaultdict(list)
    for decision, *reward, seq in connection.execute(SQL["incentives"], [tenant_id]):
        found[decision["user_id"]].append((seq, *_name(decision), *reward))
    for user, entries in found.items():
        assert [seq for seq, *_ in entries] == list(range(1, len(entries) + 1)), f"the inbox of {user} has a gap"
    return {user: [tuple(entry[1:]) for entry in entries] for user, entries in found.items()}


def compare_in_log_order(claims: Iterable[Claim], stored: Iterable[Stored]) -> Iterator[str]:
    """L1."""
    tills, answers = Tills(), {decision.name: (decision.outcome, decision.reason) for decision in stored}
    for verdict in map(tills.decide, claims):
        said = answers.get(verdict.claim.name)
        if said != (verdict.outcome, verdict.reason):
            yield f"L1: {verdict.claim.name} should be {verdict.reason}, the ledger says {said}"


def compare_in_sequence(
    claims: Iterable[Claim], stored: Iterable[Stored], verdicts: dict[tuple[str, str, str], Verdict]
) -> Iterator[str]:
    """L2; leaves the model's verdicts in `verdicts`."""
    tills, by_name = Tills(), {claim.name: claim for claim in claims}
    try:
        ordered = order_by_sequence(stored, {name: claim.rivals for name, claim in by_name.items()})
    except Unordered as error:
        yield f"L2: {error}"
        return
    for decision in ordered:
        verdict = verdicts[decision.name] = tills.decide(by_name[decision.name])
        if (decision.outcome, decision.reason) != (verdict.outcome, verdict.reason):
            yield f"L2: {decision.name} should be {verdict.reason} by {verdict.refused_by}, the ledger says {decision}"
        elif wrong := [use for use in zip(decision.counters, decision.uses, strict=True) if not _agrees(use, verdict)]:
            yield f"L2: {decision.name}: the ledger saw {wrong}, there were {verdict.before}"
        elif verdict.outcome == "granted" and set(decision.counters) != set(verdict.before):
            yield f"L2: {decision.name} took from {decision.counters}, not from {set(verdict.before)}"
        elif verdict.reason == "limit" and not {t.counter for t in verdict.refused_by} & set(decision.counters):
            yield f"L2: {decision.name} was refused without naming a full limit"


def _compare_names(claims: Sequence[Claim], stored: Sequence[Stored]) -> Iterator[str]:
    wanted, got = Counter(c.name for c in claims), Counter(s.name for s in stored)
    yield from (f"missing: {name}" for name in wanted - got)
    yield from (f"extra: {name}" for name in got - wanted)
    versions = {claim.name: claim.version for claim in claims}
    for decision in stored:
        if decision.version != versions.get(decision.name, decision.version):
            yield f"{decision.name} should be under version {versions[decision.name]}, not {decision.version}"


def _compare_inboxes(
    claims: Iterable[Claim], verdicts: Mapping[tuple[str, str, str], Verdict], inboxes: Inbox
) -> Iterator[str]:
    """Each user is told of everything granted, once, in the order of the log."""
    wanted = defaultdict(list)
    for claim in claims:
        if claim.name in verdicts and verdicts[claim.name].outcome == "granted":
            wanted[claim.user] += [
                (*claim.name, index, reward["kind"], reward.get("value", 0))
                for index, reward in enumerate(claim.rewards)
            ]
    for user in wanted.keys() | inboxes.keys():
        if wanted.get(user, []) != inboxes.get(user, []):
            yield f"inbox of {user}: should be {wanted.get(user)}, is {inboxes.get(user)}"


def _agrees(seen: tuple[Any, Mapping[str, Any]], verdict: Verdict) -> bool:
    counter, use = seen
    touch = next((touch for touch in verdict.claim.touches if touch.counter == counter), None)
    said = (use["used_before"], use["amount"], use["cap"])
    return touch is not None and said == (verdict.before[counter], touch.amount, touch.cap)


def _read(row: Mapping[str, Any], shared: set[str]) -> Stored:
    uses = tuple(row["limits"])
    counters = tuple(
        (
            use["limit_id"],
            "" if use["limit_id"] in shared else row["user_id"],
            use["key"],
            date.fromisoformat(use["window_start"]),
        )
        for use in uses
    )
    place = (row["partition"], row["log_offset"])
    who = (_name(row), row["user_id"], row["outcome"], row["reason"])
    return Stored(*who, uses, counters, place, row["campaign_version"])


def _name(row: Mapping[str, Any]) -> tuple[str, str, str]:
    instance = row["instance"] if "instance" in row else str(row["occurrence"] or "")
    return row["campaign_id"], instance, row["event_id"]
