"""However grants and reversals are mixed, doubled and cut into batches: the end is that of the plain order."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.rows import TupleRow

from fillip.core.campaign.reward import Reward
from fillip.core.match.candidate import Match
from tests.settle.conftest import World

VALUE, POINTS, TENTHS = 103, 57, 10
EMPTIED = (
    "event_met", "reversal", "decision", "incentive", "incentive_change", "inbox", "inbox_head", "limit_counter",
    "wallet_transfer", "wallet_lot", "wallet", "consumer_position", "rejection", "book_pin",
)  # fmt: skip
Parts = tuple[int, ...]
"""Tenths of an event that are taken back one after the other; 0 for all that is left."""

Move = tuple[int, int | None]
"""(order, number of its reversal), None for the order itself"""


parts = st.lists(st.integers(0, 6), max_size=3).map(tuple).filter(lambda some: sum(some) <= TENTHS)


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[tuple[str, Parts]], list[Move], list[int]]:
    """Orders of users with what is taken back of each, a log in any order with repetitions, and where it is cut."""
    orders = draw(
        st.lists(
            st.tuples(st.sampled_from(["u1", "u2"]), parts),
            min_size=1,
            max_size=6,
        )
    )
    moves = list_moves(orders)
    taken, log = [0] * len(orders), list[Move]()
    for order, number in draw(st.permutations(moves)):
        if number is not None:  # the reversals of one order keep theirs, whatever comes between them
            number = taken[order]
            taken[order] += 1
        log += [(order, number)] * draw(st.integers(1, 2))
    return orders, log, sorted(draw(st.sets(st.integers(1, len(log)))) | {len(log)})


def list_moves(orders: Sequence[tuple[str, Parts]]) -> list[Move]:
    """The plain order: all orders, then all reversals."""
    back = [(order, number) for order, (_, parts) in enumerate(orders) for number in range(len(parts))]
    return [*[(order, None) for order in range(len(orders))], *back]


def is_whole(parts: Parts) -> bool:
    return 0 in parts or sum(parts) == TENTHS


def expect(value: int, parts: Parts) -> int:
    """What is taken of an incentive in the end."""
    return value if is_whole(parts) else value * sum(parts) // TENTHS


def clear(world: World) -> None:
    """An empty log and ledger."""
    with world.owner.transaction():  # deleting a few rows is faster than new files for each table
        for table in EMPTIED:
            world.owner.execute(f"DELETE FROM {table}")
    for partition in (0, 1):
        world.owner.execute("INSERT INTO consumer_position VALUES ('event.received', %s, 0, 0, 0, 'test')", [partition])
    world.ends.clear()


def write(world: World, log: Sequence[Move], orders: Sequence[tuple[str, Parts]]) -> list[Match]:
    """The events of a log; a user keeps to one partition."""
    items = []
    for order, number in log:
        user, parts = orders[order]
        partition = int(user == "u2")
        if number is None:
            rewards = (Reward("cashback", VALUE, "USD"), Reward("points", POINTS), Reward("custom"))
            items.append(world.match(f"e{order}", user, partition=partition, rewards=rewards))
        else:
            said: dict[str, Any] = {"amount": parts[number], "of": TENTHS} if parts[number] else {}
            items.append(world.reversal(f"r{order}.{number}", f"e{order}", user, partition=partition, **said))
    return items


def read_end(world: World) -> list[list[TupleRow]]:
    """All that must not depend on the order."""
    return [
        world.rows("SELECT event_id, reward_index, state, reversed_value FROM incentive ORDER BY 1, 2"),
        world.rows("SELECT limit_id, user_id, used, version FROM limit_counter WHERE version > 0 ORDER BY 1, 2"),
        world.rows("SELECT user_id, active FROM wallet ORDER BY 1"),
        world.rows("SELECT user_id, kind, count(*) FROM inbox GROUP BY 1, 2 ORDER BY 1, 2"),
        world.rows("SELECT reversal_id, state FROM reversal ORDER BY 1"),
    ]


def check_proofs(world: World) -> None:
    """Counters are what is unreversed, and the stored proofs replay one after the other; inboxes have no gap."""
    proofs: dict[tuple[object, ...], list[tuple[int, int, int]]] = {}
    rows = world.rows("SELECT user_id, limits, 1 FROM decision UNION ALL SELECT user_id, counters, -1 FROM reversal")
    for user, uses, sign in rows:
        for use in uses:
            owner = user if use["limit_id"] == "many" else ""
            proofs.setdefault((use["limit_id"], owner), []).append(
                (use["version"], use["used_before"], sign * use["amount"])
            )
    for (limit_id, owner), moves in proofs.items():
        used = 0
        for at, (version, used_before, amount) in enumerate(sorted(moves)):
            assert (version, used_before) == (at, used)
            used += amount
        stored = world.rows(f"SELECT used FROM limit_counter WHERE limit_id = '{limit_id}' AND user_id = '{owner}'")
        assert stored == [(used,)]
    assert world.rows("SELECT FROM inbox GROUP BY user_id HAVING min(seq) <> 1 OR max(seq) <> count(*)") == []


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(history=histories())
async def test_any_order_of_grants_and_reversals_ends_alike(
    world: World, history: tuple[list[tuple[str, Parts]], list[Move], list[int]]
):
    orders, log, cuts = history
    if not world.limits:
        world.add_limit("money", 10_000, measure="value", reward_kind="cashback")
        world.add_limit("many", 100, scope="user")

    clear(world)
    await world.play(*write(world, list_moves(orders), orders))
    wanted = read_end(world)
    taken = {event: value for event, index, _, value in wanted[0] if index == 0}
    assert taken == {f"e{order}": expect(VALUE, parts) for order, (_, parts) in enumerate(orders)}
    check_proofs(world)

    clear(world)
    items = write(world, log, orders)
    for start, end in pairwise([0, *cuts]):
        await world.play(*items[start:end])
    assert read_end(world) == wanted
    check_proofs(world)
    assert world.rows("SELECT FROM rejection") == []
