"""Everything that moves points, one after the other and at once, on a real PostgreSQL with the real API in front.

Whatever happens, wallets, reversals, incentives, limits, users' inboxes, frames and reports say the same sums.
"""

import asyncio
from collections import Counter
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from psycopg.rows import dict_row

from fillip.core.campaign.reward import Reward
from fillip.core.errors import Fenced, Retry
from fillip.core.match.candidate import Match
from tests.builders import T0
from tests.oracle.reversal import Past, read_reversal
from tests.settle.wallet_site import FLOORS, Site

HERE = Path(__file__).parent
BREACHES = [
    (HERE / name).read_text().replace("$1", "%(tenant)s").replace("$2", "%(user)s")
    for name in ("wallet_breaches.sql", "sums_breaches.sql")
]
DAY_S = 86_400
NEVER = datetime.max.replace(tzinfo=UTC)
TIMES = {
    "wallet": ("activated_to", "expired_to", "due_at"),
    "wallet_lot": ("expires_at", "available_at"),
    "wallet_draw": ("since",),
    "wallet_hold": ("held_until", "due_at", "ended_at"),
}
SUMS = ("pending", "active", "held", "spent", "expired", "reversed")

amounts = st.integers(1, 20)
numbers = st.integers(0, 4)
spans = st.none() | st.integers(1, 3)
some = st.none() | amounts
PARTS: list[dict[str, Any]] = [
    {},
    {"amount": 1, "of": 2},
    {"amount": 2, "of": 3},
    {"lines": [{"line": "a", "amount": 1, "of": 2}], "of": 4},
    {"lines": [{"line": "a", "amount": 1}, {"line": "b", "amount": 1, "of": 1}], "of": 3},
]
"""What reversals say besides the event."""
parts = st.sampled_from([{}, *PARTS])
operations = st.one_of(
    st.tuples(st.just("grant"), amounts),
    st.tuples(st.just("spend"), numbers, amounts),
    st.tuples(st.just("refund"), numbers, numbers, some),
    st.tuples(st.just("reverse"), numbers, parts),
    st.tuples(st.just("adjust"), amounts.map(lambda amount: amount - 10).filter(bool)),
    st.tuples(st.just("bring_in"), amounts),
    st.tuples(st.just("hold"), numbers, amounts),
    st.tuples(st.just("end_hold"), numbers, some, st.booleans()),
    st.tuples(st.just("give"), numbers, amounts),
    st.tuples(st.just("take"), numbers, amounts),
    st.tuples(st.just("sweep")),
)


class WalletMachine(RuleBasedStateMachine):
    """Rules that each do one thing and look at what the wallet tells before and after; and storms of them at once."""

    site: Site
    bites: Counter[str]

    @initialize(currency=st.sampled_from(sorted(FLOORS)))
    def open_wallet(self, currency: str) -> None:
        """A user nobody has heard of."""
        self.site.users += 1
        self.user, self.currency, self.made = f"user-{self.site.users}", currency, 0
        self.purse = f"/v1/users/{self.user}/wallets/{currency}"
        self.friend = f"/v1/users/{self.user}-friend/wallets/{currency}"
        for pending, lasts in ((None, 1), (1, None), (None, None), (None, 2), (None, 2), (1, 3)):
            self._run(self._settle(self._earn(5, pending, lasts)))

    @rule(amount=amounts, pending=spans, lasts=spans)
    def grant(self, amount: int, pending: int | None, lasts: int | None) -> None:
        """An event earns points."""
        match = self._earn(amount, pending, None if lasts is None else lasts + (pending or 0))
        self._run(self._settle(match))

    @rule(number=numbers, amount=amounts)
    def spend(self, number: int, amount: int) -> None:
        """A spend, new or again, does what the balance shown before allows."""
        before, known = self._look(), self._find("spend", f"s{number}")
        status = self._run(self._spend(number, amount))
        if known:
            assert status == (200 if known == amount else 409), status
        else:
            assert status == (404 if before is None else 201 if before["active"] >= amount else 409), (status, before)
            self._expect(before, active=-amount, spent=amount) if status == 201 else self._expect(before)

    @rule(number=numbers, name=numbers, amount=some)
    def refund(self, number: int, name: int, amount: int | None) -> None:
        """Refunds give a spend back in pieces (None: all that is left), each once, no more than was spent; what has expired
        meanwhile is gone.
        """
        before, known = self._look(), self._find("spend", f"s{number}")
        asked = self._list_refunds(f"s{number}")
        left, again = known - sum(asked.values()), asked.get(f"r{name}")
        status = self._run(self._refund(number, name, amount))
        if not known or again:
            assert status == (404 if not known else 200 if amount in (None, again) else 409), status
            return
        back = amount or left
        assert status == (201 if 0 < back <= left else 409), (status, left)
        after = self._look()
        if status == 201 and before and after:
            gone = after["expired"] - before["expired"]
            assert after["active"] == before["active"] + back - gone
            assert after["spent"] == before["spent"] - back
            self.bites["refunds in part"] += back < known

    @rule(number=numbers, amount=amounts, days=st.integers(1, 3))
    def hold(self, number: int, amount: int, days: int) -> None:
        """A hold, new or again, sets aside what could be spent."""
        before, known = self._look(), self._find("hold", f"h{number}")
        status = self._run(self._hold(number, amount, days))
        if known:
            assert status == (200 if known == amount else 409), status
        else:
            assert status == (404 if before is None else 201 if before["active"] >= amount else 409), (status, before)
            self._expect(before, active=-amount, held=amount) if status == 201 else self._expect(before)

    @rule(number=numbers, amount=some, takes=st.booleans())
    def end_hold(self, number: int, amount: int | None, takes: bool) -> None:
        """A capture spends what it says, once and in time; what it leaves comes back, and all of a hold that is voided."""
        before, hold = self._look(), self._find_hold(number)
        status = self._run(self._end_hold(number, amount, takes))
        if before is None or hold is None:
            assert status == 404, status
            return
        asked, is_late = amount or hold["amount"], hold["held_until"] <= datetime.now(UTC)
        if hold["state"] != "held" or (is_late and takes):
            again = hold["state"] == "captured" and amount in (None, hold["captured"])
            gone = hold["state"] == "timed_out" or (hold["state"] == "held" and is_late)
            no = 410 if gone else 409
            assert status == ((200 if again else no) if takes else 409 if hold["state"] == "captured" else 200), (
                status,
                hold,
            )
            self._expect(before)
            return
        taken = asked if takes else 0
        assert status == (200 if taken <= hold["amount"] else 409), (status, hold)
        if status == 200:
            after = self._look()
            assert after and sum(after.values()) == sum(before.values())
            assert after["held"] == before["held"] - hold["amount"]
            assert after["spent"] == before["spent"] + taken
            self.bites["captures in part"] += 0 < taken < hold["amount"]

    @rule(
        number=numbers,
        left=st.integers(0, 9),
        taken=amounts,
        days=st.integers(0, 2),
        ends=st.sampled_from(("captured", "voided", "timed out")),
    )
    def hold_for_days(self, number: int, left: int, taken: int, days: int, ends: str) -> None:
        """What is held does not expire. Once the hold is over, and for good, it is as if only what was captured had been spent when
        it was made; who asks for its end again changes nothing.
        """
        before = self._look()
        amount = max(before["active"], 0) - left if before else 0
        if not before or amount <= 0 or before["held"] or self._count_owed() or self._find("hold", f"d{number}"):
            return
        lots, spent = self._list_lots(), min(taken, amount) if ends == "captured" else 0
        lasts = max(days, 1) if ends == "timed out" else days + 1
        assert self._run(self._hold(number, amount, lasts, "d")) == 201
        passed = lasts if ends == "timed out" else days
        self.let_days_pass(passed, then="nothing")
        self._check_hold(before, {"active": reckon(lots, amount, timedelta(days=passed)), "held": amount})
        if ends != "timed out":
            again = [self._run(self._end_hold(number, spent, ends == "captured", "d")) for _ in range(2)]
            assert again == [200, 200]
            self._check_hold(before, {"active": reckon(lots, spent, timedelta(days=passed)), "spent": spent})
        self.let_days_pass(lasts - passed, then="sweep")
        status = self._run(self._end_hold(number, spent or 1, takes=True, name="d"))
        assert status == {"captured": 200, "voided": 409, "timed out": 410}[ends]
        self._check_hold(before, {"active": reckon(lots, spent, timedelta(days=lasts)), "spent": spent})
        self.bites[f"holds {ends} later"] += 1

    def _check_hold(self, before: dict[str, int], wanted: dict[str, int]) -> None:
        """What is active and held now, and what more is spent than before."""
        after = self._look()
        assert after
        found = {"active": after["active"], "held": after["held"], "spent": after["spent"] - before["spent"]}
        assert found == {"held": 0, "spent": 0} | wanted

    @rule(number=numbers, amount=amounts, back=st.booleans())
    def give(self, number: int, amount: int, back: bool) -> None:
        """A gift to a friend, or of the friend's, takes what could be spent, and is told once."""
        purses = (self.friend, self.purse) if back else (self.purse, self.friend)
        before, known = [self._look(purse) for purse in purses], self._find_gift(number, back)
        status = self._run(self._give(number, amount, back))
        there = before[0]["active"] if before[0] else 0
        if known:
            assert status == (200 if known == amount else 409), status
        else:
            assert status == (404 if before[0] is None else 409 if there < amount else 201) or (
                status == 409 and self._count_lots(back) > 2
            )
        after = [self._look(purse) for purse in purses]
        given = amount if status == 201 else 0
        assert before[0] is None or after[0] == before[0] | {"active": there - given}
        theirs = before[1] or dict.fromkeys(SUMS, 0)
        assert (after[1] or dict.fromkeys(SUMS, 0)) == theirs | {"active": theirs["active"] + given}
        self.bites["gifts"] += bool(given)

    @rule(number=numbers, part=parts)
    def reverse(self, number: int, part: dict[str, Any]) -> None:
        """A reversal takes its part of what is there, and no more than the floor allows."""
        lots, before = [lot for lot in self._list_lots() if lot["event_id"]], self._look()
        if not lots:
            return
        lot = lots[number % len(lots)]
        past = self._recount(lot["event_id"])
        done = self._run(self._reverse(lot["event_id"], part))
        weighed = past.weigh(read_reversal(done["event"]))
        if isinstance(weighed, tuple):
            assert (done["state"], done["reason"]) == weighed
            self._expect(before)
            return
        wanted = int(lot["amount"] * weighed.share) - int(lot["amount"] * past.share)
        (taken,) = done["incentives"] or [{"value": 0, "short": 0}]
        assert (done["state"], taken["value"] + taken["short"]) == ("applied", wanted)
        (now,) = [each for each in self._list_lots() if each["lot_id"] == lot["lot_id"]]
        there = lot["amount"] - (now["remaining"] if now["is_over"] else 0) - lot["reversed"]
        after, kept = self._look(), min(wanted, there) - taken["value"]
        assert before and after
        assert after["reversed"] - before["reversed"] == taken["value"]
        assert before["active"] + before["pending"] - after["active"] - after["pending"] == taken["value"]
        assert not kept or after["active"] == min(before["active"], FLOORS[self.currency] or 0)
        self.bites["debts" if after["active"] < 0 else "floors" if kept else "plain"] += 1
        self.bites["too late"] += wanted > there
        self.bites["reversals in part"] += 0 < wanted < lot["amount"]

    @rule(number=numbers, part=parts)
    def take_back_what_was_spent(self, number: int, part: dict[str, Any]) -> None:
        """A reversal when nothing is left."""
        before = self._look()
        if before:
            self._spend_all(before, 1)
        self.reverse(number, part)

    @rule(amount=amounts, up=st.booleans())
    def adjust(self, amount: int, up: bool) -> None:
        """An adjustment adds, or takes what is there; where there is less it is refused."""
        before, signed = self._look(), amount if up else -amount
        status = self._run(self._adjust(signed))
        there = before["active"] if before else 0
        assert status == (201 if up or there >= amount else 409 if before else 404), (status, there)
        self._expect(before or dict.fromkeys(SUMS, 0), active=signed) if status == 201 else self._expect(before)

    @rule(amount=amounts, pending=spans, lasts=spans)
    def bring_in(self, amount: int, pending: int | None, lasts: int | None) -> None:
        """A file brings in what the user held before: a lot as it says, and another that is there at once, for good."""
        before = self._look() or dict.fromkeys(SUMS, 0)
        self._run(self._bring_in(amount, pending, None if lasts is None else lasts + (pending or 0)))
        self._expect(before, **({"active": amount + 1} if pending is None else {"pending": amount, "active": 1}))

    @rule(days=st.integers(1, 3), then=st.sampled_from(("sweep", "spend", "nothing")))
    def let_days_pass(self, days: int, then: str) -> None:
        """The clock can't be moved, so the times of the lots are. What is shown needs no sweep, nor does a spend."""
        given = {"ago": timedelta(days=days), "user": self.user}
        for table, times in TIMES.items():
            shift = ", ".join(f"{time} = {time} - %(ago)s" for time in times)
            self.site.owner.execute(f"UPDATE {table} SET {shift} WHERE user_id = %(user)s", given)
        before = self._look()
        if then == "spend" and before:
            self._spend_all(before, 1)
            return
        if then != "sweep":
            self._expect(before)
            return
        while moved := self._run(self.site.due.move_due(datetime.now(UTC))):
            self.bites["swept"] += moved
        self._expect(before)
        late = self._count_late()
        while moved := self._run(self.site.due_holds.move_due(datetime.now(UTC))):
            self.bites["timed out"] += moved
        after = self._look()
        if before and after:
            assert after["held"] == before["held"] - late
            assert sum(after.values()) == sum(before.values())

    @rule(left=st.integers(0, 9), days=st.integers(0, 2), number=numbers, back=st.integers(0, 9))
    def let_lots_fall_behind(self, left: int, days: int, number: int, back: int) -> None:
        """A spend over more lots than a page; lots that owe to it may expire, `back` tenths of it may be refunded before they
        gave, and the rest later: then it is as if only the rest had been spent.
        """
        before = self._look()
        amount = max(before["active"], 0) - left if before else 0
        if not before or amount <= 0 or self._find("spend", f"b{number}"):
            return
        lots = [] if self._count_owed() else self._list_lots()
        assert self._run(self._spend(number, amount, "b")) == 201
        self._expect(before, active=-amount, spent=amount)
        owed = self._count_owed()
        if days:
            self.let_days_pass(days, then="nothing")
            assert not lots or self._count_active() == reckon(lots, amount, timedelta(days=days))
            self.bites["late"] += bool(owed)
        for so_far in sorted({amount * back // 10, amount} - {0}) if back else ():
            assert self._run(self._refund(number, so_far, so_far if so_far < amount else None, "b")) == 201
            after = self._look()
            assert after and after["spent"] == before["spent"] + amount - so_far
            assert sum(after.values()) == sum(before.values())
            assert not lots or after["active"] == reckon(lots, amount - so_far, timedelta(days=days))
            self.bites["forgiven"] += bool(owed)
        self.bites["behind"] += bool(owed)

    @rule(storm=st.lists(operations, min_size=2, max_size=6))
    def do_at_once(self, storm: list[tuple[Any, ...]]) -> None:
        """Anything may come at once: every one gets an answer, and the invariants hold."""
        self._run(self._storm(storm))
        self.bites["storms"] += 1

    @rule(racers=st.integers(2, 6))
    def race_for_all(self, racers: int) -> None:
        """Several spend the whole balance at once: one wins."""
        before = self._look()
        if before:
            self._spend_all(before, racers)
            self.bites["races"] += 1

    @invariant()
    def nothing_is_wrong(self) -> None:
        """The sums, recounted from the transfers."""
        if self.site.users:
            cursor = self.site.owner.cursor(row_factory=dict_row)
            for query in BREACHES:
                for user in (self.user, f"{self.user}-friend"):
                    breaches = cursor.execute(query, {"tenant": "acme", "user": user}).fetchone()
                    assert breaches and not any(breaches.values()), breaches

    def teardown(self) -> None:
        """In the end reports and frames say what wallets say. Leave nothing due behind: the next example would count it."""
        self.site.owner.execute("UPDATE wallet SET due_at = NULL")
        self.site.owner.execute("UPDATE wallet_hold SET due_at = NULL")
        self._run(self.site.told.read())
        assert self._run(self.site.told.report()) == self.site.told.recount()
        self._run(self.site.told.check_liability(self.user))
        query = "SELECT source_id, amount FROM wallet_transfer WHERE user_id = %s AND kind = 'reverse'"
        taken: Counter[UUID] = Counter()
        for source_id, amount in self.site.owner.execute(query, [self.user]):
            taken[UUID(source_id)] += amount
        assert self.site.told.count_taken(self.user) == taken

    def _spend_all(self, before: dict[str, int], racers: int) -> None:
        """All that can be spent, by each of several at once: one gets it; where there is nothing, nobody does."""
        self.made += 1
        there = max(before["active"], 0)
        bodies = [{"spend_id": f"all-{self.made}-{n}", "amount": there or 1} for n in range(racers)]
        statuses = sorted(self._run(self._post_all("spends", bodies)))
        assert statuses == ([201] if there else [409]) + [409] * (racers - 1)
        self._expect(before, active=-there, spent=there)

    def _earn(self, amount: int, pending: int | None, lasts: int | None, partition: int = 0) -> Match:
        self.made += 1
        spans_s = [None if days is None else days * DAY_S for days in (pending, lasts)]
        reward = Reward("points", amount, self.currency, pending_for_s=spans_s[0], expires_after_s=spans_s[1])
        return self.site.world.match(
            f"{self.user}-{self.made}",
            self.user,
            rewards=(reward,),
            clock="live",
            after=datetime.now(UTC) - T0,
            partition=partition,
        )

    async def _settle(self, match: Match) -> None:
        while True:
            try:
                return await self.site.world.play(match)
            except Retry as retry:  # another made the wallet first
                assert not isinstance(retry, Fenced)

    async def _spend(self, number: int, amount: int, name: str = "s") -> int:
        return (await self._post("spends", {"spend_id": f"{name}{number}", "amount": amount})).status_code

    async def _refund(self, number: int, name: int, amount: int | None, spend: str = "s") -> int:
        body = {"refund_id": f"r{name}"} | ({} if amount is None else {"amount": amount})
        return (await self._post(f"spends/{spend}{number}/refund", body)).status_code

    async def _hold(self, number: int, amount: int, days: int = 1, name: str = "h") -> int:
        body = {"hold_id": f"{name}{number}", "amount": amount, "hold_for_s": days * DAY_S}
        return (await self._post("holds", body)).status_code

    async def _end_hold(self, number: int, amount: int | None, takes: bool, name: str = "h") -> int:
        path = f"holds/{name}{number}"
        if not takes:
            return (await self._post(f"{path}/void", None)).status_code
        return (await self._post(f"{path}/capture", None if amount is None else {"amount": amount})).status_code

    async def _give(self, number: int, amount: int, back: bool = False) -> int:
        body = {"gift_id": f"g{number}", "to_user_id": self.user + ("" if back else "-friend"), "amount": amount}
        return (await self.site.client.post(f"{self.friend if back else self.purse}/gifts", json=body)).status_code

    async def _take(self, number: int, amount: int) -> int:
        return await self._give(number, amount, back=True)

    async def _adjust(self, amount: int) -> int:
        self.made += 1
        body = {"adjustment_id": f"a{self.made}", "amount": amount, "reason": "test"}
        return (await self._post("adjustments", body)).status_code

    async def _bring_in(self, amount: int, pending: int | None = None, lasts: int | None = None) -> None:
        self.made += 1
        path, now = f"/v1/balance-imports/{self.user}-{self.made}", datetime.now(UTC)
        times = ["" if days is None else (now + timedelta(days=days)).isoformat() for days in (pending, lasts)]
        lines = (
            f"user_id,amount,currency,available_at,expires_at\n{self.user},{amount},{self.currency},{','.join(times)}\n"
        )
        lines += f"{self.user},1,{self.currency},,\n"
        sent = await self.site.client.put(path, content=lines, headers={"Content-Type": "text/csv"})
        assert sent.status_code == 202, sent.text
        while (await self.site.client.get(path)).json()["state"] != "done":
            await self.site.imports.take_portion()

    async def _reverse(self, event_id: str, part: dict[str, Any], partition: int = 0) -> dict[str, Any]:
        """What is stored of a reversal, with its event."""
        self.made += 1
        reversal_id, data = f"{self.user}-{self.made}", {"event_id": event_id, **part}
        reversal = self.site.world.reversal(
            reversal_id,
            user_id=self.user,
            after=datetime.now(UTC) - T0,
            clock="live",
            partition=partition,
            **data,
        )
        await self._settle(reversal)
        cursor = self.site.owner.cursor(row_factory=dict_row)
        done = cursor.execute("SELECT * FROM reversal WHERE reversal_id = %s", [reversal_id]).fetchone()
        assert done
        return done | {"event": {"id": reversal_id, "source": "/till", "subject": self.user, "data": data}}

    def _recount(self, event_id: str) -> Past:
        """What applied reversals have taken of an event, by the reference model."""
        query = "SELECT request FROM reversal WHERE event_id = %s AND state = 'applied' ORDER BY number"
        past = Past()
        for (request,) in self.site.owner.execute(query, [event_id]):
            weighed = past.weigh(read_reversal({"id": "", "source": "/till", "subject": self.user, "data": request}))
            assert isinstance(weighed, Past), weighed
            past = weighed
        return past

    async def _storm(self, storm: list[tuple[Any, ...]]) -> None:
        lots, partitions = [lot for lot in self._list_lots() if lot["event_id"]], [0, 1]
        jobs: list[Coroutine[Any, Any, object]] = []
        for kind, *given in storm:
            if kind == "grant" and partitions:
                jobs.append(self._settle(self._earn(given[0], None, None, partitions.pop())))
            elif kind == "reverse" and lots and partitions:
                jobs.append(self._reverse(lots[given[0] % len(lots)]["event_id"], given[1], partitions.pop()))
            elif kind == "sweep":
                jobs.append(self.site.due.move_due(datetime.now(UTC)))
                jobs.append(self.site.due_holds.move_due(datetime.now(UTC)))
            elif kind in ("spend", "refund", "adjust", "bring_in", "hold", "end_hold", "give", "take"):
                jobs.append(getattr(self, f"_{kind}")(*given))
        for answer in await asyncio.gather(*jobs):
            assert not isinstance(answer, int) or answer < 500, answer

    async def _post(self, what: str, body: dict[str, Any] | None) -> httpx.Response:
        return await self.site.client.post(f"{self.purse}/{what}", json=body)

    async def _post_all(self, what: str, bodies: list[dict[str, Any]]) -> list[int]:
        return [answer.status_code for answer in await asyncio.gather(*[self._post(what, body) for body in bodies])]

    def _run(self, work: Any) -> Any:
        return self.site.runner.run(work)

    def _look(self, purse: str = "") -> dict[str, int] | None:
        """The balances as the API shows them."""
        answer = self._run(self.site.client.get(purse or self.purse))
        return {name: answer.json()[name] for name in SUMS} if answer.status_code == 200 else None

    def _expect(self, before: dict[str, int] | None, **changes: int) -> None:
        wanted = before and {name: total + changes.get(name, 0) for name, total in before.items()}
        assert self._look() == wanted

    def _find(self, kind: str, source_id: str) -> int:
        """The amount of a transfer, 0 where there is none."""
        query = "SELECT amount FROM wallet_transfer WHERE user_id = %s AND kind = %s AND source_id = %s"
        found = self.site.owner.execute(query, (self.user, kind, source_id)).fetchone()
        return found[0] if found else 0

    def _find_gift(self, number: int, back: bool) -> int:
        query = "SELECT amount FROM wallet_transfer WHERE user_id = %s AND kind = 'give' AND source_id = %s"
        found = self.site.owner.execute(query, (self.user + ("-friend" if back else ""), f"g{number}")).fetchone()
        return found[0] if found else 0

    def _count_lots(self, back: bool) -> int:
        """Lots of which something remains, 9 where some are behind: how many gifts may be refused for."""
        query = "SELECT CASE WHEN sum(w.owed) > 0 THEN 9 ELSE count(*) END FROM wallet w JOIN wallet_lot l USING (tenant_id, user_id, currency) WHERE l.remaining > 0 AND l.user_id = %s"
        [[count]] = self.site.owner.execute(query, (self.user + ("-friend" if back else ""),)).fetchall()
        return int(count)

    def _find_hold(self, number: int) -> dict[str, Any] | None:
        cursor = self.site.owner.cursor(row_factory=dict_row)
        query = "SELECT * FROM wallet_hold WHERE user_id = %s AND hold_id = %s"
        return cursor.execute(query, (self.user, f"h{number}")).fetchone()

    def _count_late(self) -> int:
        """What is held by holds that have timed out."""
        query = "SELECT coalesce(sum(amount), 0)::bigint FROM wallet_hold WHERE user_id = %s AND state = 'held' AND held_until <= now()"
        [[late]] = self.site.owner.execute(query, (self.user,)).fetchall()
        return int(late)

    def _list_refunds(self, spend_id: str) -> dict[str, int]:
        """What refunds of a spend were asked for, by id."""
        query = (
            "SELECT f.refund_id, f.amount FROM wallet_refund f JOIN wallet_transfer t USING (tenant_id, transfer_id)"
            " WHERE t.user_id = %s AND t.source_id = %s AND t.kind = 'spend'"
        )
        return dict(self.site.owner.execute(query, (self.user, spend_id)).fetchall())

    def _count_active(self) -> int:
        shown = self._look()
        return shown["active"] if shown else 0

    def _count_owed(self) -> int:
        found = self.site.owner.execute("SELECT owed FROM wallet WHERE user_id = %s", (self.user,)).fetchone()
        return found[0] if found else 0

    def _list_lots(self) -> list[dict[str, Any]]:
        cursor = self.site.owner.cursor(row_factory=dict_row)
        query = (
            "SELECT l.*, coalesce(l.expires_at <= w.expired_to, false) AS is_over, i.event_id FROM wallet_lot l"
            " JOIN wallet w USING (tenant_id, user_id, currency)"
            " LEFT JOIN incentive i ON i.tenant_id = l.tenant_id AND i.incentive_id = l.lot_id"
            " WHERE l.user_id = %s ORDER BY l.seq"
        )
        return cursor.execute(query, (self.user,)).fetchall()


def reckon(lots: list[dict[str, Any]], amount: int, later: timedelta) -> int:
    """What is active `later`, where `amount` is spent now: out of every lot at once, the one that expires first first."""
    now, active = datetime.now(UTC), 0
    for lot in sorted(lots, key=lambda lot: (lot["expires_at"] or NEVER, lot["seq"])):
        usable = (lot["available_at"] or now) <= now < (lot["expires_at"] or NEVER)
        drawn = min(amount, lot["remaining"]) if usable else 0
        amount -= drawn
        if (lot["available_at"] or now) <= now + later < (lot["expires_at"] or NEVER):
            active += lot["remaining"] - drawn
    return active
