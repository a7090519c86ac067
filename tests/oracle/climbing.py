"""The state machine with ladders of levels, which are made, changed and deleted, and with time that passes."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from fillip.settle.backfill import Portion
from fillip.settle.level.postgres import PostgresDueLadders, PostgresDueLevels
from tests.oracle.asking import AskingMachine
from tests.oracle.backfills import Backfill, Turn
from tests.oracle.catalogue import RECEIVED_AT
from tests.oracle.compare_levels import find_unlike_levels, tell_levels
from tests.oracle.ledger import SQL
from tests.oracle.levels import Commit, Ladder, Levels
from tests.oracle.machine import NUMBERS
from tests.oracle.model import Model
from tests.oracle.said import USERS, TakenBack
from tests.oracle.shop import Shop
from tests.oracle.workers import Prepared, Worker

LEAVING = "SELECT 1 FROM ladder WHERE tenant_id = %s AND leaving"
CLOCK = Path(__file__).with_name("clock.sql").read_text()


def _ladder(levels: Mapping[str, int], **window: Any) -> dict[str, Any]:
    return {**window, "levels": [{"name": name, "from": threshold} for name, threshold in levels.items()]}


METALS = {"bronze": 0, "silver": 100, "gold": 250}
LADDERS: dict[str, list[dict[str, Any]]] = {
    "POINTS": [
        _ladder(METALS, span="rolling", rolling_s=4 * 86_400, attribute="level"),
        _ladder(METALS, span="month", attribute="level"),
        _ladder({"bronze": 0, "silver": 200, "gold": 201}, span="lifetime", attribute="level"),
        _ladder({"base": 0, "silver": 100, "plus": 150, "gold": 199}, span="year", attribute="level"),
        _ladder(
            {"bronze": 0, "iron": 100, "silver": 199, "gold": 250},
            span="rolling",
            rolling_s=5 * 86_400,
            attribute="level",
        ),
    ],
    "MILES": [
        _ladder({"new": 0, "friend": 40, "fan": 81}, span="lifetime", attribute="status"),
        _ladder({"new": 0, "friend": 80}, span="rolling", rolling_s=5 * 86_400, attribute="status"),
        _ladder({"new": 0, "fan": 40}, span="month"),
    ],
}
"""Rules name silver and gold of those of points, which therefore stay; those of miles may go.

Of a live tenant what the clock shows first is the last day of a window of four days of which the last purchases are.
"""
PASSED_H = [1, 22, 24, 24, 48, 366 * 24]
"""22 hours after what it shows first it is midnight in New York."""
CLIMBED = st.lists(
    st.tuples(st.sampled_from([99, 100, 101, 200]), st.sampled_from([0, 24, 24, 48])), min_size=1, max_size=3
)
CLIMBING = {
    "levels up",
    "levels down",
    "levels by batch",
    "levels by merge",
    "levels by time",
    "levels by ladder",
    "decisions by a higher level",
}
"""What must have come up in the examples of the tests."""


class ClimbingMachine(AskingMachine):
    """Beside all else, levels: each commit that may move one is noted, with what was known when its batch was taken."""

    wrong: ClassVar[tuple[str, str, str] | None] = None
    """A function of the database with a text that is planted in place of another."""
    right: str = ""

    async def _open(self, clock: str, campaigns: Sequence[str], limits: Sequence[tuple[str, int]]) -> Shop:
        self.commits: list[Commit] = []
        self.knew: dict[int, int] = {}  # by batch
        self._due = PostgresDueLadders(self.site.finder, self.site.pool, users_at_once=1)
        owner = self.site.owner
        if owner.execute("SELECT to_regclass('oracle_clock') IS NULL").fetchone() == (True,):
            owner.execute(CLOCK)
        if self.wrong:
            name, old, new = self.wrong
            [(self.right,)] = owner.execute("SELECT pg_get_functiondef(%s::regproc)", [name]).fetchall()
            assert old in self.right, f"{name} has changed: plant the fault anew"
            owner.execute(self.right.replace(old, new))
        self._show(RECEIVED_AT)
        self.shop = shop = await super()._open(clock, campaigns, limits)
        self.ladders = {"POINTS": LADDERS["POINTS"][0]}
        await shop.rank("POINTS", self.ladders["POINTS"])
        while await self._due.move_due(self.clock_at):
            pass
        self._note(0)
        return shop

    def teardown(self) -> None:
        """Nothing is left for the sweeps of other examples."""
        try:
            super().teardown()
        finally:
            if self.right:
                self.site.owner.execute(self.right)
            if self.is_open:
                for table in ("user_level", "ladder"):
                    self.site.owner.execute(f"DELETE FROM {table} WHERE tenant_id = %s", [self.shop.tenant_id])

    # ------------------------------------------------------------ who climbs
    @rule(
        users=st.sampled_from([*[[user] for user in USERS], [USERS[0], USERS[2]]]),
        steps=st.lists(CLIMBED, min_size=1, max_size=3),
        part=st.sampled_from([None, None, {}, {"amount": 1, "of": 2}, {"amount": 1, "of": 100}]),
        together=st.booleans(),
    )
    def climb(
        self,
        users: Sequence[str],
        steps: Sequence[Sequence[tuple[int, int]]],
        part: dict[str, Any] | None,
        together: bool,
    ) -> None:
        """A user, or two whose events are read together, buys some times, and again once that is decided; the last of it is taken back, in the
        same batch or later.
        """
        for step in steps:
            self.produce([(user, "BUY", amount, "x", hours) for amount, hours in step for user in users])
            if not together:
                self._drain()
        if part is not None:
            taken: TakenBack = (-1, None, part)
            self.produce([taken])
        self._drain()

    @rule(
        currency=st.sampled_from(["POINTS", "MILES"]),
        which=NUMBERS,
        portions=st.sampled_from([0, 1, 2, 99, 99]),
        user=st.sampled_from(USERS),
        amount=st.sampled_from([99, 100, 101]),
    )
    def rank(self, currency: str, which: int, portions: int, user: str, amount: int) -> None:
        """One buys, a ladder is made, changed or deleted, so many portions of users follow it, and one buys meanwhile."""
        bought = [(user, "BUY", amount, "x", 24)]
        self.produce(bought)
        self._drain()
        ladders = [each for each in LADDERS[currency] if each != self.ladders.get(currency)]
        if currency == "MILES" and currency in self.ladders and which % 3 == 2:
            self._rank(currency, None)
        else:
            if self.site.owner.execute(LEAVING, [self.shop.tenant_id]).fetchone():
                self._follow()  # until that is done no other can be made, nor read under its attribute
            self._rank(currency, ladders[which % len(ladders)])
        self._follow(portions)
        self.produce(bought)
        self._drain()

    @rule(hours=st.sampled_from(PASSED_H), before=st.booleans(), is_swept=st.booleans())
    def pass_time(self, hours: int, before: bool, is_swept: bool) -> None:
        """Time passes, at times up to the last microsecond before a full hour; the sweep runs, or has not run yet."""
        at = self.clock_at.replace(minute=0, second=0, microsecond=0) + timedelta(hours=hours)
        self._show(max(at - timedelta(microseconds=before), self.clock_at))
        if is_swept:
            self._let_fall()

    @precondition(lambda self: self.is_open)
    @rule(user=st.sampled_from(USERS), level=st.sampled_from(["gold", "friend"]))
    def pretend(self, user: str, level: str) -> None:
        """What is written of a user under the name of a level is covered by it."""
        self._run(self.shop.describe(user, {"tier": "gold", "level": level, "status": level}))

    # ------------------------------------------------------------ what must hold
    def _replay(self) -> Model:
        self._follow()
        self._let_fall()
        self.levels = Levels(self.shop.book.tenant)
        self.levels.replay(self.journal, self.commits)
        return self.levels.model

    def _ask_the_model(self) -> None:
        super()._ask_the_model()
        unlike = find_unlike_levels(self.site.owner, self.shop.tenant_id, self.levels, self.clock_at)
        self._check(not unlike, "\n".join(unlike))
        self.bites.update(tell_levels(self.levels))

    # ------------------------------------------------------------ how
    async def _take(self, worker: Worker) -> Prepared:
        prepared = await super()._take(worker)
        self.knew[id(prepared)] = len(self.commits)
        return prepared

    def _committed(self, prepared: Prepared, spans: Any) -> None:
        super()._committed(prepared, spans)
        self._note(self.knew[id(prepared)])

    def _filled(self, backfill: Backfill, turn: Turn, portion: Portion) -> None:
        super()._filled(backfill, turn, portion)
        self._note(len(self.commits))

    def _merge(self, user: str, into: str) -> None:
        super()._merge(user, into)
        self._note(len(self.commits))

    def _rank(self, currency: str, ladder: dict[str, Any] | None) -> None:
        self._run(self.shop.rank(currency, ladder))
        self.ladders.pop(currency, None)
        self.ladders |= {currency: ladder} if ladder else {}
        self._tell_workers()  # it is answered when all know
        self._note(len(self.commits))

    def _follow(self, portions: int = 99) -> None:
        """So many portions of one user each see what is new about ladders; all of them, where there are fewer."""
        while portions and self._run(self._due.move_due(self.clock_at)):
            self._note(len(self.commits))
            portions -= 1

    def _let_fall(self) -> None:
        self._run(PostgresDueLevels(self.site.finder, self.site.pool).move_due(self.clock_at))
        self._note(len(self.commits), sweeps=True)

    def _show(self, at: datetime) -> None:
        """It is so late now."""
        self.clock_at = at
        self.site.owner.execute("UPDATE oracle_clock SET at = %s", [at])

    def _note(self, knew: int, *, sweeps: bool = False) -> None:
        rows = self.site.owner.execute(SQL["ladders"], {"tenant": self.shop.tenant_id})
        ladders = {currency: Ladder(self.ladders[currency], *how_far) for currency, *how_far in rows}
        self.commits.append(Commit(len(self.journal), self.clock_at, knew, ladders, sweeps))
