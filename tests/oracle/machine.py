"""Everything that can happen to a log and its workers, in any order, against the reference model."""

import asyncio
import json
import math
from collections import Counter
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any, ClassVar

import asyncpg
import psycopg
from hypothesis import assume
from hypothesis import strategies as st
from hypothesis.errors import UnsatisfiedAssumption
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fillip.core.ledger import settlement
from fillip.core.ports import Caller
from fillip.http.history_query import HistoryEvent
from fillip.manage.backfill.told import AllDone, Waits
from fillip.migrations import role_dsn
from fillip.settle.backfill import Portion, walk
from fillip.stream.belt import Span
from fillip.stream.memory import MemoryLog
from tests.oracle import limits
from tests.oracle.backfills import PAST_POINTS, Backfill, NewestBooks, Turn, list_past, write_again
from tests.oracle.catalogue import (
    AMOUNTS,
    CAMPAIGNS,
    CHANGED,
    DEFINITIONS,
    HOURS,
    LEFT,
    LIMITS,
    MOST_KEPT,
    OWN_ZONES,
    PARTS,
    RECEIVED_AT,
    SHOP_LISTS,
    STARTING,
    list_caps,
)
from tests.oracle.claim import Claim
from tests.oracle.compare import count_bites, count_breaches, find_differences, find_unlike_runs
from tests.oracle.ids import find_strange_ids, name_event
from tests.oracle.merging import Merging
from tests.oracle.model import Model, Seen
from tests.oracle.reversal import REVERSAL, name_original
from tests.oracle.said import (
    BURST,
    NEWEST,
    SAID,
    SHOPS,
    TAKEN_BACK,
    USERS,
    Said,
    TakenBack,
    write_event,
    write_reversal,
)
from tests.oracle.shop import Plane, Shop
from tests.oracle.workers import POINTS, Line, Prepared, Rumours, Worker

ZONE = "America/New_York"
SIZES = [1, 3, 8, 16]
READ_WITHIN_S = 10
RACE_WITHIN_S = 30
MOST_LOST = 10
MOST_CAMPAIGNS = 5
"""Of a shop, those in shadow too."""

BITES = {
    f"decisions {reason}"
    for reason in (
        "granted",
        "limit",
        "late",
        "outranked",
        "no_value",
        "paused",
        "holdout",
        "control",
        "expired",
        "shadow",
    )
} | {
    "quests met in a pause",
    "batches died",
    "zombies fenced",
    "messages read again",
    "conflicting duplicates",
    "quests completed",
    "grants to a variant",
    "ids granted from two sources",
    "rules met by a list",
    "waits for a lock",
    "reversals applied",
    "reversals applied in part",
    "reversals applied after waiting",
    "reversals unknown_event",
    "reversals in the batch of their original",
    "quest rewards taken back",
    "past events granted",
    "past events reversed",
    "past events decided_before",
    "past quests completed",
    "portions died",
    "hung portions fenced",
}
"""What must have come up in 150 examples, or they were empty."""
RARE = {
    "past events conflicting",
    "past grants taken back",
    "decisions already_held",
    "decisions too_many_grants",
    "decisions value_error",
    "quests completed by a route",
    "quests completed in shadow",
    "quests completed under a kept version",
    "reversals exceeds_line",
    "reversals line_already_reversed",
    "reversals other_line_whole",
    "reversals unreadable_after",
    "reversals that asked again and found less",
    "completions under a kept version undone",
}
"""What must have come up too in the 1,500 of the long run."""

NUMBERS = st.integers(0, 100)
SMALL: Said = (USERS[0], "BUY", AMOUNTS[1], SHOPS[0], 48)
"""Many campaigns ask for more."""
MOST_PAST = 100
Portioned = tuple[str, int]
"""(where the process dies, how many events)"""
PORTION = st.tuples(st.one_of(st.just(""), st.sampled_from(PAST_POINTS)), st.sampled_from([1, 2, 5, MOST_PAST]))
CAPPED = st.sampled_from(sorted(LIMITS)).flatmap(lambda name: st.tuples(st.just(name), list_caps(name)))


@contextmanager
def two_grants_an_event() -> Iterator[None]:
    """The most that an event is granted is low enough to come up; a backfill does not rest for others, as there are none."""
    before = settlement.MAX_GRANTS, limits.MOST_GRANTS, walk.LONGEST_REST_S, walk.BUSY_PAUSE_S
    settlement.MAX_GRANTS = limits.MOST_GRANTS = 2
    walk.LONGEST_REST_S = walk.BUSY_PAUSE_S = 0.0
    try:
        yield
    finally:
        settlement.MAX_GRANTS, limits.MOST_GRANTS, walk.LONGEST_REST_S, walk.BUSY_PAUSE_S = before


class Site:
    """What all examples share: one loop, one database, the control plane, the connections of workers and of the sweep."""

    def __init__(self, dsn: str) -> None:
        self.runner = asyncio.Runner()
        self.owner = psycopg.connect(dsn, autocommit=True)
        self.plane, self.pool, self.finder = self.runner.run(self._open(dsn))

    async def _open(self, dsn: str) -> tuple[Plane, asyncpg.Pool, asyncpg.Pool]:
        pool = await asyncpg.create_pool(role_dsn(dsn, "fillip_worker"), min_size=1, max_size=5)
        return Plane(dsn), pool, await asyncpg.create_pool(role_dsn(dsn, "fillip_sweep"), min_size=0, max_size=1)

    def close(self) -> None:
        """Let go of everything."""
        self.runner.run(self.plane.close())
        self.runner.run(self.pool.close())
        self.runner.run(self.finder.close())
        self.runner.close()
        self.owner.close()


class Found(BaseException):
    """A planted fault was: Hypothesis need not show it again."""


class OutOfTime(BaseException):
    """A search has taken as long as it may."""


class Machine(RuleBasedStateMachine):
    """One tenant with a log of its own. The journal is what was committed, in the order of the commits."""

    site: ClassVar[Site]
    bites: ClassVar[Counter[str]]  # what came up, over all examples: a fault that never bit was never tested
    differences: ClassVar[list[str]]  # what was found to be wrong: only that is a find, not a batch that was hindered
    catalogue: ClassVar[Mapping[str, Mapping[str, Any]]] = CAMPAIGNS  # those that may come later
    sequences: ClassVar[int] = 0
    until: ClassVar[float] = math.inf  # by `monotonic`: no fault holds up the search for the next
    planted = False  # whether a fault was: it may be what hinders a batch, which ends the example and is no find
    shop: Shop
    is_open = False
    """Whether there is a shop yet."""

    # ------------------------------------------------------------ the world
    @initialize(
        clock=st.sampled_from(["history", "live"]),
        campaigns=st.sets(st.sampled_from(sorted(CAMPAIGNS)), min_size=2, max_size=3),
        limits=st.lists(CAPPED, min_size=1, max_size=2, unique_by=lambda limit: limit[0]),
        size=st.sampled_from(SIZES),
    )
    def open(self, clock: str, campaigns: set[str], limits: Sequence[tuple[str, int]], size: int) -> None:
        if self.planted and self.differences:
            raise Found
        type(self).sequences += 1
        self.log = MemoryLog("", 2)
        self.next = [0, 0]
        self.sent: list[tuple[int, dict[str, Any]]] = []
        self.journal: list[Seen | Merging] = []
        self.broken: list[str] = []
        self.stalled: list[tuple[Worker, Prepared]] = []
        self.backfills: list[Backfill] = []
        self.newest_books = NewestBooks(self.site.pool)
        self.rumours = Rumours()
        self.shop = self._run(self._open(clock, sorted(campaigns), limits))
        self.is_open = True
        self.log.topic = self.shop.tenant_id  # positions of its own
        self.workers = [self._join(size), self._join(size)]

    async def _open(self, clock: str, campaigns: Sequence[str], limits: Sequence[tuple[str, int]]) -> Shop:
        shop = await self.site.plane.open_shop(clock, ZONE)
        await shop.enlist("vip", frozenset({"ann"}))
        await shop.describe("ann", {"tier": "gold"})
        await shop.call("POST", "/v1/badges", {"badge_id": "early", "name": "Early"})
        await shop.call("PUT", "/v1/points/MILES", {"name": "Miles"})
        await shop.fill("shops", SHOP_LISTS[0])
        for campaign_id in campaigns:
            await shop.launch(campaign_id, DEFINITIONS[campaign_id])
        for limit_id, cap in limits:
            await shop.cap({"limit_id": limit_id, "cap": cap, **LIMITS[limit_id]})
        return shop

    # ------------------------------------------------------------ producers
    @rule(burst=BURST)
    def produce(self, burst: Sequence[Said | TakenBack]) -> None:
        for said in burst:
            if len(said) == 3:
                self._take_back(said, USERS[0], len(self.sent) + 1, of_all=False)
            else:
                self._send(place_user(said[0]), write_event(len(self.sent), self.shop.tenant_id, said))

    @precondition(lambda self: self.is_open and self.sent)
    @rule(
        which=NUMBERS,
        how=st.sampled_from(["here", "elsewhere", "otherwise", "from another"]),
        amount=st.sampled_from(AMOUNTS),
    )
    def produce_again(self, which: int, how: str, amount: int) -> None:
        """A known id once more: behind its first, under a wrong key, with another body, or from another source."""
        partition, event = self.sent[which % len(self.sent)]
        if how == "otherwise":
            event = {**event, "type": "BUY", "data": {"amount": amount, "rate": 0.5, "shop": "x"}}
        if how == "from another":
            event = {**event, "source": "till-9"}
        self._send(1 - partition if how == "elsewhere" else partition, event)

    @rule(
        said=SAID,
        times=st.integers(0, 3),
        burst=st.lists(TAKEN_BACK, min_size=1, max_size=4),
        of_all=st.sampled_from([False, False, True]),
        more=st.integers(0, 2),
    )
    def take_back(self, said: Said, times: int, burst: Sequence[TakenBack], of_all: bool, more: int) -> None:
        """A user does the same a few times before and after reversals: of events that were sent (`of_all`: reversals
        too), of some that are still to come, and of some that never will.
        """
        self.produce([said] * times)
        after = len(self.sent) + len(burst)
        for taken in burst:
            self._take_back(taken, said[0], after, of_all)
        self.produce([said] * more)

    @rule(said=SAID, burst=st.lists(st.one_of(st.none(), TAKEN_BACK), min_size=4, max_size=12), which=NUMBERS)
    def mix(self, said: Said, burst: Sequence[TakenBack | None], which: int) -> None:
        """A user does the same again and again (None), and in between what was done a moment ago is taken back; read from
        the first of it on.
        """
        self._drain()
        for taken in burst:
            if taken is None:
                self.produce([said])
            else:
                self._take_back(taken, said[0], len(self.sent) + 1, of_all=False)
        readable = self._readable()
        self._consume(readable[which % len(readable)])

    @precondition(lambda self: self.is_open and self.shop.book.campaigns.keys() & {"streak", "own-streak"})
    @rule(user=st.sampled_from(USERS), hours=st.permutations([24, 25, 48, 49]), newest_first=st.booleans())
    def come_daily(self, user: str, hours: Sequence[int], newest_first: bool) -> None:
        """A user buys on two days in a row, as told in any order: where the newer day comes first, the other is late."""
        told = sorted(hours, reverse=True) if newest_first else hours
        self.produce([(user, "BUY", AMOUNTS[-1], SHOPS[0], hour) for hour in told])

    @precondition(lambda self: self.is_open and "echo" in self.shop.book.campaigns)
    @rule(
        user=st.sampled_from(USERS),
        shops=st.lists(st.sampled_from(["x", "x", *SHOPS]), min_size=3, max_size=6),
        back=st.sampled_from([0, 0, 1, 2]),
    )
    def shop_around(self, user: str, shops: Sequence[str | None], back: int) -> None:
        """A user buys in one shop after another: what a purchase opened waits for the next in its own, then for any.

        `back`: one of those behind the first is taken back.
        """
        self.produce([(user, "BUY", AMOUNTS[-1] if number == 0 else 101, shop, 0) for number, shop in enumerate(shops)])
        if back:
            self._take_back((back - len(shops), None, {}), user, len(self.sent) + 1, of_all=True)

    @precondition(lambda self: self.is_open and "listed" in self.shop.book.campaigns)
    @rule(user=st.sampled_from(USERS), items=st.sampled_from(SHOP_LISTS))
    def shop_by_list(self, user: str, items: tuple[str, ...]) -> None:
        """A list names other shops, as all workers know; a user buys in two of them."""
        self._drain()
        self._run(self.shop.fill("shops", items))
        self._tell_workers()
        self.produce([(user, "BUY", 101, shop, 24) for shop in ("x", "y")])

    @rule(said=SAID, times=st.integers(2, 4))
    def take_back_first(self, said: Said, times: int) -> None:
        """A user does the same some times; then the first of it is taken back, with what it began."""
        self.produce([said] * times)
        self._take_back((-times, None, {}), said[0], len(self.sent) + 1, of_all=True)

    @precondition(lambda self: self.is_open and {"returned", "spoilt"} & self.shop.book.campaigns.keys())
    @rule(
        user=st.sampled_from(USERS),
        parts=st.lists(st.sampled_from([*LEFT, PARTS[3]]), min_size=1, max_size=4),
        changed=st.sampled_from(["", "lists", "definition", "definition"]),
        together=st.booleans(),
    )
    def return_parts(self, user: str, parts: Sequence[dict[str, Any]], changed: str, together: bool) -> None:
        """A user buys for much and returns some of it, part by part; a list or a definition was changed meanwhile, as all workers
        know. `together`: they may read all of it at once.
        """
        self.produce([(user, "BUY", AMOUNTS[-1], "x", 48)])
        if not together or changed:
            self._drain()
        if changed == "lists":
            self._run(self.shop.fill("shops", SHOP_LISTS[len(self.sent) % len(SHOP_LISTS)]))
        elif changed and "returned" in self.shop.book.campaigns:
            now = self.shop.book.campaigns["returned"]["written"]
            definitions = [CAMPAIGNS["returned"], *CHANGED["returned"]]
            self._run(self.shop.change("returned", None, next(each for each in definitions if each != now)))
        self._tell_workers()
        for part in parts:
            self._take_back((-1, None, part), user, len(self.sent) + 1, of_all=False)

    def _take_back(self, taken: TakenBack, user: str, next_event: int, of_all: bool) -> None:
        known = [event for _, event in self.sent if of_all or event["type"] != REVERSAL]
        event = write_reversal(len(self.sent), self.shop.tenant_id, taken, known, next_event, user)
        self._send(place_user(event["subject"]), event)

    def _send(self, partition: int, event: dict[str, Any]) -> None:
        self.sent.append((partition, event))
        self.log.append(partition, json.dumps(event).encode(), at_ms=int(RECEIVED_AT.timestamp() * 1000))

    # ------------------------------------------------------------ workers
    @rule(burst=BURST, which=NUMBERS)
    def consume(self, burst: Sequence[Said | TakenBack], which: int) -> None:
        self.produce(burst)
        if readable := self._readable():
            self._consume(readable[which % len(readable)])

    @rule(burst=BURST, which=NUMBERS, dies_at=st.sampled_from(POINTS), size=st.sampled_from(SIZES))
    def crash(self, burst: Sequence[Said | TakenBack], which: int, dies_at: str, size: int) -> None:
        self.produce(burst)
        if (readable := self._readable()) and self._consume(
            worker := readable[which % len(readable)], dies_at
        ) == "died":
            self._bury(worker)
            self.workers.append(self._join(size))

    @precondition(lambda self: self.is_open and len(self.stalled) < 3)
    @rule(burst=BURST, which=NUMBERS, size=st.sampled_from(SIZES))
    def stall(self, burst: Sequence[Said | TakenBack], which: int, size: int) -> None:
        """A worker hangs with a batch in its hands; the group gives its partitions to another."""
        self.produce(burst)
        if not (readable := self._readable()):
            return
        worker = readable[which % len(readable)]
        self.stalled.append((worker, self._run(self._take(worker))))
        self._bury(worker)
        self.workers.append(self._join(size))

    @precondition(lambda self: self.is_open and self.stalled)
    @rule(which=NUMBERS, overtaken=st.booleans())
    def wake(self, which: int, overtaken: bool) -> None:
        """The zombie goes on where it stood; `overtaken`: once others have done all that there was."""
        if overtaken:
            self._drain()
        worker, prepared = self.stalled.pop(which % len(self.stalled))
        fresh = self._is_fresh(prepared)
        outcome = self._run(worker.commit(prepared))
        self._check_outcome(
            outcome, "settled" if fresh else "fenced", f"a zombie's batch was {outcome}, fresh: {fresh}"
        )
        self.bites[f"zombies {outcome}"] += 1
        self._run(self._rewind())

    @rule(said=SAID, known=st.booleans(), which=NUMBERS)
    def race(self, said: Said, known: bool, which: int) -> None:
        """Every worker that can, and a zombie where there is one, settle at the same time.

        Two users buy the same, so that it is for the same counters; `known`: those have been taken from before.
        """
        what = ("BUY", *said[2:])
        if known:
            self.produce([(USERS[2], *what)])
            self._drain()
        self.produce([(user, *what) for user in USERS[:2]])
        if len(self.workers) < 2:
            self.workers.append(self._join(1))
        racing = [(worker, self._run(self._take(worker))) for worker in self._readable()]
        if self.stalled:
            racing.append(self.stalled.pop(which % len(self.stalled)))
        self._run(self._race(racing))
        self._run(self._rewind())
        self._drain()  # who won is chance: go on from where it makes no difference

    @rule(size=st.sampled_from(SIZES))
    def join(self, size: int) -> None:
        if len(self.workers) < 3:
            self.workers.append(self._join(size))

    @precondition(lambda self: self.is_open and len(self.workers) > 1)
    @rule(which=NUMBERS)
    def leave(self, which: int) -> None:
        self._bury(self.workers[which % len(self.workers)])

    @precondition(lambda self: self.is_open and any(self.next))
    @rule()
    def replay(self) -> None:
        """The operator has the whole topic read again, once all backfills are over; then they are not run again."""
        self._finish_backfills()
        if not all(backfill.is_over for backfill in self.backfills):
            return
        self.backfills = []
        query = "UPDATE consumer_position SET next_offset = 0 WHERE topic = %s"
        self.site.owner.execute(query, [self.log.topic])
        self.bites["messages read again"] += sum(self.next)
        self.next = [0, 0]
        self._run(self._rewind())

    # ------------------------------------------------------------ people
    @precondition(lambda self: self.is_open and self.shop.book.limits)
    @rule(which=NUMBERS, data=st.data())
    def cap(self, which: int, data: st.DataObject) -> None:
        """The cap of a limit changes; those within definitions do so with these alone."""
        limits = {name: limit for name, limit in self.shop.book.limits.items() if name in LIMITS}
        limit = limits[sorted(limits)[which % len(limits)]]
        self._run(self.shop.cap({**limit, "cap": data.draw(list_caps(limit["limit_id"]))}))

    @precondition(lambda self: self.is_open and self.shop.book.campaigns.keys() & CHANGED.keys())
    @rule(
        which=NUMBERS,
        said=SAID,
        known=st.sampled_from([False, True, True]),
        policy=st.sampled_from(["keep", "keep", "migrate"]),
        burst=st.lists(st.one_of(st.just(NEWEST), TAKEN_BACK), max_size=2),
    )
    def redefine(self, which: int, said: Said, known: bool, policy: str, burst: Sequence[TakenBack]) -> None:
        """A campaign gets another definition, or its first one back; a user does the same before and after, and reversals
        follow. `known`: all workers have heard of it by then. `policy` is for open instances, where it has such.
        """
        self.produce([said])
        self._drain()
        wanted = sorted(self.shop.book.campaigns.keys() & CHANGED.keys())
        self._redefine(wanted[which % len(wanted)], which // 7, policy)
        if known:
            self._tell_workers()
        self.produce([said, *burst])

    @precondition(lambda self: self.is_open and "twice" in self._list_launched())
    @rule(which=NUMBERS, user=st.sampled_from(USERS), before=st.integers(1, 2), back=st.sampled_from([-1, -2]))
    def return_under_a_kept_version(self, which: int, user: str, before: int, back: int) -> None:
        """A user buys, and goes on when a quest has changed; a purchase is taken back when all else was read: of the definition that it was for,
        a worker hears from the ledger.
        """
        said: Said = (user, "BUY", AMOUNTS[-1], SHOPS[0], 24)
        self.produce([said] * before)
        self._drain()
        self._redefine("twice", which, "keep")
        self._tell_workers()
        self.produce([said])
        self._drain()
        self._take_back((back, None, {}), user, len(self.sent) + 1, of_all=False)
        self._drain()

    def _redefine(self, campaign_id: str, which: int, policy: str) -> None:
        """Give a campaign one of its other definitions; `policy` is for open instances, where it has such."""
        now, definitions = self.shop.book.campaigns[campaign_id], [DEFINITIONS[campaign_id], *CHANGED[campaign_id]]
        others = [definition for definition in definitions if definition != now["written"]]
        crowded = len(now.get("kept", ())) == MOST_KEPT
        asked = (
            None if "quest" not in now["definition"] or now["state"] == "shadow" else "migrate" if crowded else policy
        )
        self._run(self.shop.change(campaign_id, asked, others[which % len(others)]))

    @rule(which=NUMBERS, said=SAID, more=st.integers(0, 2), also=st.booleans())
    def pause(self, which: int, said: Said, more: int, also: bool) -> None:
        """A user does something while a campaign is paused; it is sent again after the pause, and more is done.

        `also`: the same was done before the pause.
        """
        self.produce([said] * also)
        self._drain()
        campaigns = self._list_launched()
        campaign_id = campaigns[which % len(campaigns)]
        if self.shop.book.campaigns[campaign_id]["state"] == "running":
            self._toggle(campaign_id)
        self.produce([said])
        self._drain()
        self._toggle(campaign_id)
        self._send(*self.sent[-1])
        self.produce([said] * more)

    @precondition(lambda self: self.is_open and len(self.shop.book.campaigns) < MOST_CAMPAIGNS and self._list_others())
    @rule(
        which=st.integers(0, len(CAMPAIGNS) - 1),
        said=SAID,
        times=st.integers(0, 3),
        burst=st.lists(st.one_of(st.just(NEWEST), TAKEN_BACK), max_size=2),
        ends=st.sampled_from(["", "at once", "by a draft"]),
    )
    def try_out(self, which: int, said: Said, times: int, burst: Sequence[TakenBack], ends: str) -> None:
        """A campaign is in shadow, or one still is, while a user does the same some times, and some is taken back.

        `ends`: it is launched; what was done last is sent again, and more is done.
        """
        campaigns = self.shop.book.campaigns
        in_shadow = sorted(campaigns.keys() - self._list_launched())
        others = self._list_others()
        campaign_id = in_shadow[0] if in_shadow else others[which % len(others)]
        self._drain()
        if not in_shadow:
            self._run(self.shop.try_out(campaign_id, DEFINITIONS[campaign_id]))
            self._tell_workers()
        self.produce([*[said] * times, *burst, said])
        again = self.sent[-1]
        if ends:
            self._drain()
            self._run(self.shop.end_trial(campaign_id, by_draft=ends == "by a draft"))
            self._tell_workers()
            self._send(*again)
            self.produce([said] * times)

    @precondition(lambda self: self.is_open and len(self.shop.book.campaigns) < MOST_CAMPAIGNS and self._list_others())
    @rule(
        which=st.integers(0, len(CAMPAIGNS) - 1),
        said=SAID,
        times=st.integers(0, 3),
        burst=BURST,
        portions=st.lists(PORTION, min_size=1, max_size=4),
        back=st.booleans(),
    )
    def launch_past(
        self,
        which: int,
        said: Said,
        times: int,
        burst: Sequence[Said | TakenBack],
        portions: Sequence[Portioned],
        back: bool,
    ) -> None:
        """A campaign is launched as of a date, after a user has done the same some times; some of it is sent again.

        A quest's past is decided before anything else comes, and once more; that of another beside what comes. `back`: the first of
        what came before the launch is taken back then.
        """
        before = len(self.sent)
        self.produce([*[said] * times, *burst, SMALL, said])
        self._drain()
        others = [name for name in self._list_others() if name not in STARTING]
        campaign_id = others[which % len(others)]
        backfill = self._launch_past(campaign_id)
        again = self._choose_again(backfill.past)
        for dies_at, most in portions:
            if "quest" not in DEFINITIONS[campaign_id]:
                self._send(*again)
                self.consume([said], which)
            self._fill_back(backfill, dies_at, most)
        if "quest" in DEFINITIONS[campaign_id]:
            for _ in range(2):
                self._fill_back(backfill)
                self._finish(backfill)
        else:
            self.backfills.append(backfill)
        self._send(*again)
        if back:
            since_then = sum(event["type"] != REVERSAL for _, event in self.sent[before:])
            self._take_back((-since_then, None, {}), said[0], len(self.sent) + 1, of_all=False)

    @precondition(lambda self: self._has_room_for_gold())
    @rule(which=NUMBERS, user=st.sampled_from(USERS), hours=st.sampled_from(HOURS))
    def launch_past_by_tier(self, which: int, user: str, hours: int) -> None:
        """What a user did before a launch comes again while the campaign is not for the user, and a worker decides it for another, which is
        new; then the campaign is for the user, and its backfill comes to what the worker has decided.
        """
        self.produce([(user, "BUY", AMOUNTS[2], SHOPS[0], hours)])
        again = self.sent[-1]
        self._drain()
        self.backfills.append(self._launch_past("gold"))
        others = [name for name in self._list_others() if name not in STARTING]
        other = others[which % len(others)]
        self._run(self.shop.launch(other, CAMPAIGNS[other]))
        self._tell_workers()
        self._run(self.shop.describe(user, {"tier": "blue"}))
        self._send(*again)
        self._drain()
        self._run(self.shop.describe(user, {"tier": "gold"}))

    def _has_room_for_gold(self) -> bool:
        others = set(self._list_others()) - STARTING if self.is_open else set()
        return "gold" in others and len(others) > 1 and len(self.shop.book.campaigns) < MOST_CAMPAIGNS - 1

    def _launch_past(self, campaign_id: str) -> Backfill:
        """Launch a campaign as of a date; its backfill, which nobody has begun."""
        since = datetime.now(UTC).replace(microsecond=0) - timedelta(days=30)
        self._run(self.shop.launch_past(campaign_id, DEFINITIONS[campaign_id], since))
        self._tell_workers()
        past = list_past(self.sent, RECEIVED_AT, lambda event: Seen(event, RECEIVED_AT, self.shop.book, 0).refused)
        caller = Caller(None, self.shop.tenant_id, frozenset())
        return Backfill(self.site.plane.engine, campaign_id, caller, past, self.newest_books)

    def _choose_again(self, past: Sequence[HistoryEvent]) -> tuple[int, dict[str, Any]]:
        """Of what was sent before a launch, something that was nothing to anybody, if there is such: the ledger does not know it."""
        query = "SELECT event_source, event_id FROM event_met WHERE tenant_id = %s"
        known = set(self.site.owner.execute(query, [self.shop.tenant_id]).fetchall())
        chosen = min(past, key=lambda each: ((each.source, each.id) in known, each.action))
        return next(each for each in self.sent if (each[1]["source"], each[1]["id"]) == (chosen.source, chosen.id))

    @precondition(lambda self: self.is_open and self.backfills)
    @rule(
        which=NUMBERS,
        steps=st.lists(st.tuples(PORTION, BURST), min_size=1, max_size=3),
        hangs=st.sampled_from(["", "while another takes over", "while another decides"]),
    )
    def fill_back(self, which: int, steps: Sequence[tuple[Portioned, Sequence[Said | TakenBack]]], hangs: str) -> None:
        """A backfill goes on, or is run once more, while users go on too; `hangs`: its process does, and goes on where it stood."""
        backfill = self.backfills[which % len(self.backfills)]
        for (dies_at, most), burst in steps:
            self._fill_back(backfill, dies_at, most)
            if hangs and backfill.turn:
                self._run(backfill.lose(hangs=True))
            if backfill.hanging and hangs == "while another takes over":
                self._run(self._hold(backfill))
                self._wake(backfill, backfill.hanging.pop())
            self.produce(burst)
            if readable := self._readable():
                self._consume(readable[which % len(readable)])
        while backfill.hanging:
            self._wake(backfill, backfill.hanging.pop())

    def _list_others(self) -> list[str]:
        """The campaigns that may still come."""
        return sorted(self.catalogue.keys() - self.shop.book.campaigns.keys())

    def _list_launched(self) -> list[str]:
        return sorted(name for name, each in self.shop.book.campaigns.items() if each["state"] != "shadow")

    @rule(said=SAID, more=st.integers(0, 2))
    def hold_out(self, said: Said, more: int) -> None:
        """The last user does something, and another, while half are held out; it is sent again after that, and more is done."""
        self._drain()
        self._run(self.shop.hold_out(50))
        self._tell_workers()
        self.produce([said, (USERS[-1], *said[1:])])
        self._drain()
        self._run(self.shop.hold_out(0))
        self._tell_workers()
        self._send(*self.sent[-1])
        self.produce([(USERS[-1], *said[1:])] * more)

    def _toggle(self, campaign_id: str) -> None:
        """Pause or resume a campaign; all workers have heard of it by then."""
        self._run(self.shop.toggle(campaign_id))
        self._tell_workers()

    def _tell_workers(self) -> None:
        for worker in self.workers:
            self._run(worker.books.refresh(self.shop.tenant_id, self.shop.version))

    @rule(what=st.sampled_from(["state", "cohort", "list", "user"]), which=NUMBERS)
    def change(self, what: str, which: int) -> None:
        campaigns, user = self._list_launched(), USERS[which % len(USERS)]
        if what == "state":
            self._run(self.shop.toggle(campaigns[which % len(campaigns)]))
        elif what == "cohort":
            self._run(self.shop.enlist("vip", frozenset({user})))
        elif what == "list":
            self._run(self.shop.fill("shops", SHOP_LISTS[which % len(SHOP_LISTS)]))
        elif what == "user":
            self._run(self.shop.describe(user, [{}, {"tier": "gold"}, {"tier": "blue"}][which % 4 % 3]))

    @precondition(
        lambda self: (
            self.is_open
            and (self.shop.book.campaigns.keys() | self.shop.book.limits.keys()) & {"own-streak", "own-day"}
        )
    )
    @rule(said=SAID, zones=st.lists(st.sampled_from(OWN_ZONES), min_size=1, max_size=3), times=st.integers(1, 2))
    def travel(self, said: Said, zones: Sequence[str | None], times: int) -> None:
        """A user does the same in one zone after another; the last of it is taken back where the user is by then."""
        for zone in zones:
            self.produce([(said[0], "BUY", AMOUNTS[-1], *said[3:])] * times)
            self._drain()
            self._run(self.shop.describe(said[0], self.shop.book.users.get(said[0], {}), zone))
        self.produce([NEWEST, said])

    @rule(which=NUMBERS)
    def learn(self, which: int) -> None:
        """The news of changed campaigns, limits and lists reaches one worker."""
        worker = self.workers[which % len(self.workers)]
        self._run(worker.books.refresh(self.shop.tenant_id, self.shop.version))

    @rule(all_full=st.booleans())
    def spread_rumours(self, all_full: bool) -> None:
        self.rumours.all_full = all_full

    # ------------------------------------------------------------ what must hold
    @invariant()
    def nothing_is_broken(self) -> None:
        self._check(not (self.is_open and self.broken), str(self.broken))

    def teardown(self) -> None:
        """Read the log to its end, then ask the model and the invariants."""
        if not self.is_open:
            return
        try:
            with suppress(UnsatisfiedAssumption):  # of a batch that a planted fault hindered: the example is over
                self._drain()
                self._finish_backfills()
                self._ask_the_model()
        finally:
            self.site.runner.run(self.shop.client.aclose())

    def _ask_the_model(self) -> None:
        owner, tenant_id, limits = self.site.owner, self.shop.tenant_id, list(self.shop.book.limits.values())
        query = "SELECT partition, next_offset FROM consumer_position WHERE topic = %s"
        stored: dict[int, int] = dict(owner.execute(query, [self.log.topic]).fetchall())
        in_place = all(self.next[partition] == offset for partition, offset in stored.items())
        self._check(in_place, f"stored: {stored}, settled: {self.next}")
        model = self._replay()
        differences = find_differences(owner, tenant_id, limits, model)
        self._check(not differences, "\n".join(differences))
        unlike = find_unlike_runs(owner, tenant_id, model)
        self._check(not unlike, str(unlike))
        strange = find_strange_ids(owner, tenant_id, model.origins)
        self._check(not strange, str(strange))
        breaches = count_breaches(owner, tenant_id)
        self._check(not any(breaches.values()), str(breaches))
        self.bites["conflicting duplicates"] += len(model.conflicting)
        self.bites["events refused"] += model.refused
        self.bites.update(count_bites(owner, tenant_id, model))
        paused = [turn for turn in model.turns if isinstance(turn, Claim) and turn.refusal == "paused"]
        self.bites["quests met in a pause"] += sum("quest" in DEFINITIONS[claim.campaign] for claim in paused)

    def _replay(self) -> Model:
        model = Model()
        model.read(self.journal)
        return model

    # ------------------------------------------------------------ how
    def _check(self, holds: bool, text: str) -> None:
        if not holds:
            self.differences.append(text)
        assert holds, text

    def _check_outcome(self, outcome: str, wanted: str, text: str) -> None:
        """A batch that lost a race or its connection may be tried again: that proves nothing, right or wrong."""
        if self.planted:
            assume(outcome != "retry")
        assert outcome != "retry", f"hindered: {text}"
        self._check(outcome == wanted, text)

    def _drain(self) -> None:
        while readable := self._readable():
            self._consume(readable[0])

    def _consume(self, worker: Worker, dies_at: str = "") -> str:
        prepared = self._run(self._take(worker))
        fresh = self._is_fresh(prepared)
        outcome: str = self._run(worker.commit(prepared, dies_at))
        if outcome != "died" or not dies_at:
            self._check_outcome(outcome, "settled" if fresh else "fenced", f"{outcome}, fresh: {fresh}")
        self.bites[f"batches {outcome}"] += 1
        if outcome == "fenced":
            self._run(worker.source.rewind())
        return outcome

    def _fill_back(self, backfill: Backfill, dies_at: str = "", most: int = MOST_PAST) -> None:
        """Have some of the past decided by whoever holds the backfill, or takes it."""
        turn: Turn = backfill.turn or self._run(self._hold(backfill))
        outcome = self._run(turn.decide(backfill.past, most, self.shop.version, dies_at))
        self.bites[f"portions {outcome}"] += 1
        if outcome == "died" and dies_at:
            self._run(backfill.lose())
            return
        self._check_outcome(outcome, self._expect_portion(backfill, turn), f"a portion was {outcome}")
        if outcome == "paused":
            self._run(backfill.let_go(Waits("it is paused")))
        elif turn.done == len(backfill.past):
            self._run(backfill.let_go(AllDone()))

    async def _hold(self, backfill: Backfill) -> Turn:
        def note(turn: Turn, portion: Portion) -> None:
            self._filled(backfill, turn, portion)

        return await backfill.take(self.site.pool, self.log.topic, note)

    def _wake(self, backfill: Backfill, turn: Turn) -> None:
        """A process that hung goes on where it stood."""
        wanted = self._expect_portion(backfill, turn)
        outcome = self._run(turn.decide(backfill.past, 1, self.shop.version))
        self.bites[f"hung portions {outcome}"] += 1
        self._check_outcome(outcome, wanted, f"what hung was {outcome}")

    def _expect_portion(self, backfill: Backfill, turn: Turn) -> str:
        if turn.done == len(backfill.past):
            return "settled"  # there is nothing more
        if self.shop.book.campaigns[backfill.campaign_id]["state"] == "paused":
            return "paused"
        return "settled" if backfill.is_held_by(turn) else "fenced"

    def _finish(self, backfill: Backfill) -> None:
        while not backfill.is_over and self.shop.book.campaigns[backfill.campaign_id]["state"] != "paused":
            self._fill_back(backfill)

    def _finish_backfills(self) -> None:
        """All that are not paused, and then once more."""
        for backfill in self.backfills:
            self._finish(backfill)
            if backfill.is_over:
                self._fill_back(backfill)
                self._finish(backfill)

    def _filled(self, backfill: Backfill, turn: Turn, portion: Portion) -> None:
        """Called the moment that a portion's commit is done."""
        if turn.done != portion.done:
            self.broken.append(f"a portion behind {portion.done} was settled at {turn.done}")
        run = backfill.campaign_id, turn.order.run
        for past in backfill.past[portion.done : portion.done + portion.events]:
            event = write_again(past, self.shop.tenant_id)
            self.journal.append(Seen(event, RECEIVED_AT, self.shop.book, past.log_offset, run))

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Raises OutOfTime."""
        return self.site.runner.run(work if self.until == math.inf else self._run_in_time(work))

    async def _run_in_time(self, work: Coroutine[Any, Any, Any]) -> Any:
        left = self.until - monotonic()
        if left <= 0:
            work.close()
            raise OutOfTime
        try:
            async with asyncio.timeout(left) as limit:
                return await work
        except TimeoutError:
            if limit.expired():
                raise OutOfTime from None
            raise

    def _join(self, size: int) -> Worker:
        return Worker(self.site.pool, self.log, self.rumours, size, self._committed)

    def _bury(self, worker: Worker) -> None:
        self.workers.remove(worker)
        self._run(worker.source.close())

    def _readable(self) -> list[Worker]:
        """The workers that hold a partition with something to read."""
        waiting = [len(part) > start for part, start in zip(self.log.partitions, self.next, strict=True)]
        members = self.log.members
        held = [any(waiting[p] for p in range(2) if p % len(members) == i) for i in range(len(members))]
        return [worker for worker in self.workers if held[members.index(worker.source)]]

    def _is_fresh(self, prepared: Prepared) -> bool:
        """Whether nobody has settled it, and its users are who they were when it was taken.

        Whoever was merged before that, it has under the new name: a worker that did not know would be fenced for ever.
        """
        in_place = all(self.next[span.partition] == span.start for span in prepared.batch.spans)
        return in_place and not prepared.users & (self.shop.people.now.keys() - prepared.merged)

    async def _take(self, worker: Worker) -> Prepared:
        await worker.source.rewind()
        batch = await asyncio.wait_for(anext(worker.source), READ_WITHIN_S)
        prepared = await worker.prepare(batch, self.shop.tenant_id)
        prepared.merged = frozenset(self.shop.people.now)
        prepared.book = replace(
            self.shop.books[prepared.version], users=self.shop.book.users, zones=self.shop.book.zones
        )
        return prepared

    async def _rewind(self) -> None:
        for worker in self.workers:
            await worker.source.rewind()

    async def _race(self, racing: Sequence[tuple[Worker, Prepared]]) -> None:
        line = Line(self.site.pool, [worker.ledger for worker, _ in racing])

        async def insist(worker: Worker, prepared: Prepared) -> str:
            for _ in range(MOST_LOST):
                if (outcome := await worker.commit(prepared, line=line)) != "retry":
                    return outcome
                self.bites["races lost"] += 1
            raise AssertionError(f"a racer lost {MOST_LOST} times")

        fresh = {index for index, (_, prepared) in enumerate(racing) if self._is_fresh(prepared)}
        outcomes = await asyncio.wait_for(asyncio.gather(*[insist(*each) for each in racing]), RACE_WITHIN_S)
        self.bites["waits for a lock"] += line.waits
        settled = {index for index, outcome in enumerate(outcomes) if outcome == "settled"}
        self._check(settled <= fresh and bool(settled or not fresh), f"{outcomes}, fresh: {fresh}")

    def _committed(self, prepared: Prepared, spans: Sequence[Span]) -> None:
        """Called the moment that a commit is done."""
        for span in spans:
            if self.next[span.partition] != span.start:
                self.broken.append(f"{span} was settled at {self.next[span.partition]}")
            self.next[span.partition] = span.end
        read = []
        caps = {limit_id: limit["cap"] for limit_id, limit in self.shop.book.limits.items()}
        limits = {name: {**limit, "cap": caps[name]} for name, limit in prepared.book.limits.items()}
        book = replace(prepared.book, limits=limits)
        for record in prepared.batch.records:
            if any(s.partition == record.partition and s.start <= record.offset < s.end for s in spans):
                received_at = datetime.fromtimestamp(record.appended_at_ms / 1000, UTC)
                read.append(event := json.loads(record.value or b""))
                self.journal.append(Seen(event, received_at, book, record.offset))
        taken_back = {name_original(event) for event in read if event["type"] == REVERSAL}
        known = {name_event(event["source"], event["id"]) for event in read}
        self.bites["reversals in the batch of their original"] += len(taken_back & known)


def place_user(user: str) -> int:
    """In which partition a user's events are."""
    return (USERS.index(user) if user in USERS else len(user)) % 2
