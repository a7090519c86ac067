"""The model's answer against the ledger's, from what is stored of one tenant.

L1: the same decisions and reversals with the same outcomes, replayed in log order (for books in which no shared cap
binds). L2: the same, and each outcome with the use of every counter before it, replayed in the order of the sequence
numbers that were taken under the locks. Then what stands at the end (tests.oracle.standing).
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import psycopg

from tests.oracle.claim import Claim, Name
from tests.oracle.ledger import SHARED, SQL, Inbox, read_decisions, read_inboxes, read_merges, read_reversals
from tests.oracle.limits import Return, Tills, Verdict
from tests.oracle.merging import Brought, Merged
from tests.oracle.model import Model
from tests.oracle.own_events import is_own
from tests.oracle.reversal import Undoing
from tests.oracle.sequence import Stored, StoredMerge, StoredReversal, Unordered, order_by_sequence
from tests.oracle.standing import compare_standing

Turn = Claim | Undoing | Merged
Turns = Mapping[Name | str, Turn]
"""Claims, reversals and merges by name in log order; a reversal that waited stands where its turn came."""
Rows = Mapping[Name | str, Stored | StoredReversal | StoredMerge]
Answers = dict[Name | str, Verdict | Return | Brought]


def find_differences(
    connection: psycopg.Connection[Any], tenant_id: str, limits: Iterable[Mapping[str, Any]], model: Model
) -> list[str]:
    """All that the ledger says otherwise than the model of what was read; [] when they agree."""
    shared = {limit["limit_id"] for limit in limits if limit["scope"] in SHARED}
    stored: dict[Name | str, Stored | StoredReversal | StoredMerge] = {}
    rows: list[Stored | StoredReversal | StoredMerge] = [
        *read_decisions(connection, tenant_id, shared, model.origins),
        *read_reversals(connection, tenant_id),
        *read_merges(connection, tenant_id),
    ]
    stored.update((row.name, row) for row in rows)
    turns = _list_last(model.turns)
    found = [f"missing: {name}" for name in turns.keys() - stored.keys()]
    found += [f"extra: {name}" for name in stored.keys() - turns.keys()]
    if found := found or list(_compare_versions(turns, stored)):
        return found
    if not shared:
        found += compare_in_log_order(turns, stored)
    tills, answers = Tills(), Answers()
    found += compare_in_sequence(turns, stored, tills, answers)
    conflicting = {name for (name,) in connection.execute(SQL["conflicts"], [tenant_id])}
    if conflicting != model.conflicting:
        found.append(f"came again with another body: {conflicting}, not {model.conflicting}")
    found += _compare_inboxes(turns, answers, read_inboxes(connection, tenant_id, model.origins))
    return found or list(compare_standing(connection, tenant_id, tills, model.quests))


def find_unlike_runs(connection: psycopg.Connection[Any], tenant_id: str, model: Model) -> list[str]:
    """The backfills whose newest run tells another result than the model: of how many events it decided what, and why not of others."""
    unlike = []
    for campaign, run, found in connection.execute(SQL["runs"], {"tenant": tenant_id}):
        wanted = {what: count for what, count in model.runs[campaign, run].items() if count}
        unlike += [] if found == wanted else [f"run {run} of the backfill of {campaign} says {found}, not {wanted}"]
    return unlike


def count_breaches(connection: psycopg.Connection[Any], tenant_id: str) -> dict[str, int]:
    """How often a tenant's ledger breaks each invariant, by SQL alone."""
    cursor = connection.execute(SQL["breaches"], {"tenant": tenant_id})
    row = cursor.fetchone()
    assert row and cursor.description
    return {column.name: count for column, count in zip(cursor.description, row, strict=True)}


def _compare_versions(turns: Turns, stored: Rows) -> Iterator[str]:
    for name, turn in turns.items():
        said = stored[name]
        if isinstance(turn, Claim) and isinstance(said, Stored) and turn.version != said.version:
            yield f"{name} should be under version {turn.version}, not {said.version}"
        if isinstance(turn, Claim) and isinstance(said, Stored) and turn.variant != said.variant:
            yield f"{name} should be of variant {turn.variant}, not {said.variant}"
        if isinstance(turn, Claim) and isinstance(said, Stored) and turn.shadow != said.shadow:
            yield f"{name} should be of a shadow: {turn.shadow}, not {said.shadow}"


def _compare_worth(claim: Claim, said: Stored) -> Iterator[str]:
    """What a decision says that it gives, or would were its campaign not in shadow."""
    gives = said.reason in ("granted", "shadow")
    worth = [
        (each["kind"], each.get("value", 0), _read_currency(each), each.get("wanted"))
        for each in claim.rewards
        if gives
    ]
    if worth != list(said.worth):
        yield f"{claim.name} should be worth {worth}, not {said.worth}"


def _read_currency(reward: Mapping[str, Any]) -> str | None:
    found: str | None = reward.get("currency", "POINTS" if reward["kind"] == "points" else None)
    return found


def compare_in_log_order(turns: Turns, stored: Rows) -> Iterator[str]:
    """L1."""
    tills = Tills()
    for name, turn in turns.items():
        wanted = answer_turn(tills, turn).reason
        if stored[name].reason != wanted:
            yield f"L1: {name} should be {wanted}, the ledger says {stored[name]}"


def compare_in_sequence(turns: Turns, stored: Rows, tills: Tills, answers: Answers) -> Iterator[str]:
    """L2; leaves the model's answers in `answers`, and what they come to in `tills`."""
    names = list(turns)
    try:
        ordered = order_by_sequence([stored[name] for name in names], _list_behind(turns, stored))
    except Unordered as error:
        yield f"L2: {error}"
        return
    for name in map(names.__getitem__, ordered):
        answer, said = answer_turn(tills, turns[name]), stored[name]
        answers[name] = answer
        if said.reason != answer.reason:
            yield f"L2: {name} should be {answer}, the ledger says {said}"
        elif isinstance(answer, Verdict) and isinstance(said, Stored):
            yield from _compare_uses(answer, said)
            yield from _compare_worth(answer.claim, said)
        elif isinstance(answer, Return) and isinstance(said, StoredReversal):
            yield from _compare_given(answer, said)
        elif isinstance(answer, Brought) and isinstance(said, StoredMerge):
            yield from _compare_brought(answer, said)


def answer_turn(tills: Tills, turn: Turn) -> Verdict | Return | Brought:
    """What a turn should come to, behind all that was answered before; `tills` keep what it comes to."""
    if isinstance(turn, Merged):
        return tills.merge(turn)
    return tills.decide(turn) if isinstance(turn, Claim) else tills.take_back(turn)


def _list_last(turns: Iterable[Turn]) -> dict[Name | str, Turn]:
    last: dict[Name | str, Turn] = {}
    for turn in turns:
        last.pop(turn.name, None)
        last[turn.name] = turn
    return last


def _list_behind(turns: Turns, stored: Rows) -> dict[int, list[int]]:
    """Each claim comes behind the rival that won, or the grants of its event after which there were too many; one by a
    backfill behind all of its event and before what comes to it later, each reversal behind what it takes back and earlier ones
    of its event.

    A claim that was refused leaves nothing to wait for: it may have been refused by a hint on an earlier count. Badges
    have no number: what gives one to a user, may take one, or was refused for one comes behind what did so before. A merge
    comes behind all that was decided before it, and before all else.
    """
    numbers = {name: number for number, name in enumerate(turns)}
    of_event: dict[str, list[int]] = defaultdict(list)
    shelves: dict[str, list[int]] = defaultdict(list)
    behind: dict[int, list[int]] = {}
    merged: list[int] = []
    for number, (name, turn) in enumerate(turns.items()):
        owner = ""
        if isinstance(turn, Merged):
            behind[number] = list(range(number))
            merged = [number]
        elif isinstance(turn, Claim):
            behind[number] = [*merged, *(numbers[rival] for rival in turn.rivals if stored[rival].moves)]
            waits = turn.among is not None or stored[name].reason == "too_many_grants"
            behind[number] += of_event[turn.event] if waits else []
            of_event[turn.event] += [number] if stored[name].moves or turn.among is not None else []
            weighed = turn.badges and (stored[name].moves or stored[name].reason == "already_held")
            owner = turn.user if weighed else ""
        else:
            lost = [each.lost for each in turn.undone if each.lost]
            behind[number] = [*merged, *(n for event in (turn.reversal.event, *lost) for n in of_event[event])]
            of_event[turn.reversal.event].append(number)
            owner = turn.reversal.user
        if owner:
            behind[number] += shelves[owner][-1:]
            shelves[owner].append(number)
    return behind


def _compare_uses(verdict: Verdict, decision: Any) -> Iterator[str]:
    name = decision.name
    if wrong := [use for use in zip(decision.counters, decision.uses, strict=True) if not _agrees(use, verdict)]:
        yield f"L2: {name}: the ledger saw {wrong}, there were {verdict.before}"
    elif verdict.outcome == "granted" and set(decision.counters) != set(verdict.before):
        yield f"L2: {name} took from {decision.counters}, not from {set(verdict.before)}"
    elif verdict.reason == "limit" and not {t.counter for t in verdict.refused_by} & set(decision.counters):
        yield f"L2: {name} was refused without naming a full limit"


def _agrees(seen: tuple[Any, Mapping[str, Any]], verdict: Verdict) -> bool:
    counter, use = seen
    touch = next((touch for touch in verdict.claim.touches if touch.counter == counter), None)
    said = (use["used_before"], use["amount"], use["cap"], use.get("wanted"))
    return touch is not None and said == (verdict.before[counter], touch.amount, touch.cap, touch.wanted)


def _compare_given(answer: Return, said: StoredReversal) -> Iterator[str]:
    """Each counter gets back what each grant took, one after the other from its use before; in which order is free."""
    given: dict[Any, list[int]] = defaultdict(list)
    left = dict(answer.before)
    for counter, use in sorted(zip(said.counters, said.uses, strict=True), key=lambda each: each[1]["version"]):
        given[counter].append(use["amount"])
        if left.get(counter) != use["used_before"]:
            yield f"L2: {said.name} found {use} of {counter}, there were {left.get(counter)}"
            return
        left[counter] -= use["amount"]
    if {counter: sorted(some) for counter, some in given.items()} != {c: sorted(s) for c, s in answer.given.items()}:
        yield f"L2: {said.name} gave back {dict(given)}, not {dict(answer.given)}"
    wanted = sorted((u.campaign, u.instance, u.state, sorted(u.taken.items())) for u in answer.undoing.undone)
    quests = sorted((campaign, name, state, sorted(taken.items())) for campaign, name, _, state, taken in said.quests)
    if (
        answer.state == "applied"
        and [(c, i, s if s != "denied" else "completed", t) for c, i, s, t in quests] != wanted
    ):
        yield f"quests: {said.name} left {quests}, not {wanted}"


def _compare_brought(answer: Brought, said: StoredMerge) -> Iterator[str]:
    wanted = answer.points, answer.counters, answer.instances, answer.badges
    found = said.points, said.counters_moved, said.instances, said.badges
    if wanted != found:
        yield f"{said.name} of {said.user} into {said.into} should have brought {wanted}, not {found}"


def _compare_inboxes(turns: Turns, answers: Answers, inboxes: Inbox) -> Iterator[str]:
    """Each user is told of all that was granted and taken back, once, in the order of the log."""
    wanted: dict[str, list[tuple[object, ...]]] = defaultdict(list)
    for name, turn in turns.items():
        answer = answers.get(name)
        if isinstance(turn, Claim) and isinstance(answer, Verdict) and answer.outcome == "granted":
            rewards = [(each["index"], each["kind"], each.get("value", 0), "") for each in answer.claim.rewards]
            wanted[turn.user] += [(*turn.name, *each) for each in rewards]
        elif isinstance(turn, Undoing) and isinstance(answer, Return):
            told = [(*claim, index, "reversed", value, turn.name) for claim, index, value in answer.told]
            wanted[turn.reversal.user] += sorted(told)
    for user in wanted.keys() | inboxes.keys():
        if wanted.get(user, []) != inboxes.get(user, []):
            yield f"inbox of {user}: should be {wanted.get(user)}, is {inboxes.get(user)}"


def count_bites(connection: psycopg.Connection[Any], tenant_id: str, model: Model) -> Counter[str]:
    """What came up, by what the ledger stored."""
    decisions = read_decisions(connection, tenant_id, set(), model.origins)
    bites = Counter(f"decisions {decision.reason}" for decision in decisions)
    claims = {turn.name: turn for turn in model.turns if isinstance(turn, Claim)}
    moved = {row.name for row in decisions if row.moves}
    granted = {event for *_, event in moved}
    bites["ids granted from two sources"] = len(granted) - len({name.partition(" ")[2] for name in granted})
    bites["quests completed"] = sum(claim.instance != "" for claim in claims.values())
    bites["grants to a variant"] = sum(row.moves and row.variant is not None for row in decisions)
    past = [claim for claim in claims.values() if claim.among is not None]
    bites["past events granted"] = sum(claim.name in moved for claim in past)
    bites["past quests completed"] = sum(claim.instance != "" for claim in past)
    bites["past grants taken back"] = sum(claim.name in moved and model.desk.holds(claim.event) for claim in past)
    for run in model.runs.values():
        bites.update({f"past events {what}": count for what, count in run.items()})
    bites["quests completed in shadow"] = sum(claim.instance != "" and claim.shadow for claim in claims.values())
    bites["quests completed under a kept version"] = sum(claim.kept for claim in claims.values())
    bites["quests completed by a route"] = sum(claim.campaign == "echo" for claim in claims.values())
    bites["rules met by a list"] = sum(claim.campaign == "listed" for claim in claims.values())
    undoings = [turn for turn in model.turns if isinstance(turn, Undoing)]
    seen = Counter(turn.name for turn in undoings)
    for stored in read_reversals(connection, tenant_id):
        applied = stored.state == "applied"
        bites[f"reversals {stored.reason}"] += 1
        bites["reversals that asked again and found less"] += applied and stored.found_less
        bites["reversals applied in part"] += applied and stored.in_part
        bites["reversals applied after waiting"] += applied and seen[stored.name] > 1
        bites["quest rewards taken back"] += sum(was == "completed" != state for *_, was, state, _ in stored.quests)
    lost = [(each.campaign, each.instance, each.lost) for turn in undoings for each in turn.undone if each.lost]
    bites["completions under a kept version undone"] = sum(claims[name].kept for name in lost if name in claims)
    bites.update(_tell_merges(decisions, model))
    return bites


def _tell_merges(decisions: Iterable[Stored], model: Model) -> Iterator[str]:
    """What came up of merges of users, and of what was asked of Fillip itself."""
    for row in decisions:
        source = row.name[2].partition(" ")[0]
        if is_own(source):
            yield f"{source} {row.reason}"
    renamed: set[Name] = set()
    for turn in model.turns:
        if isinstance(turn, Merged):
            renamed |= set(turn.renamed.values())
            yield from ["merges", *["quests that went along with a merge"] * turn.instances]
            yield from ["quests completed before a merge"] * len(turn.renamed)
        elif isinstance(turn, Undoing):
            yield from [
                "merged quest rewards taken back"
                for each in turn.undone
                if (each.campaign, each.instance, each.lost) in renamed
            ]
