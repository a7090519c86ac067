"""The state machine with what is asked of Fillip itself, public codes and grants by hand, and with users who become others."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.oracle.catalogue import AMOUNTS, CODED, NOON
from tests.oracle.machine import MOST_CAMPAIGNS, NUMBERS, SIZES, Machine, place_user
from tests.oracle.own_events import GRANT, REDEMPTION
from tests.oracle.reversal import REVERSAL
from tests.oracle.said import TAKEN_BACK, USERS, Said, TakenBack, write_event, write_own

ENTERED = ["SPRING", " spring ", "lenz-1", "May", "Cart", "cart", "SPRUNG"]
"""What users enter: codes in one spelling or another, and one that is nobody's."""
OWN_HOURS = [0, 24, 25, 100]
PAIRS = [
    *[("anon", user) for user in USERS] * 3,
    ("anon", "other"),
    (USERS[1], USERS[0]),
    (USERS[0], USERS[2]),
    (USERS[2], USERS[1]),
]
"""Who becomes whom."""
Acted = tuple[bool, str, Said]
"""(whether it is hers, a code that is entered or "", what is done else; whose it says to be is left out)"""
ACTED: st.SearchStrategy[Acted] = st.tuples(
    st.booleans(),
    st.sampled_from([*[""] * 6, "SPRING"]),
    st.tuples(
        st.just(""), st.sampled_from(["BUY", "BUY", "BUY", "JOIN"]), st.sampled_from([101, 101, 250, 99]), st.sampled_from(["x", "x", "y"]),
        st.sampled_from([0, 1, 24]),
    ),
)  # fmt: skip

ASKED = {
    "merges",
    "quests that went along with a merge",
    "fillip.redemption granted",
    "fillip.redemption limit",
    "fillip.grant granted",
    "fillip.grant limit",
}
"""What must have come up in the examples of the tests."""
RARELY_ASKED = {
    "quests completed before a merge",
    "merged quest rewards taken back",
}
"""What must have come up too in the long run."""


class AskingMachine(Machine):
    """Beside all else, what is asked of Fillip, and merges."""

    # ------------------------------------------------------------ what is asked of Fillip itself
    @rule(
        which=NUMBERS,
        asked=st.lists(
            st.tuples(st.sampled_from(USERS), st.sampled_from(ENTERED), st.sampled_from(AMOUNTS)),
            min_size=1,
            max_size=5,
        ),
        hours=st.sampled_from(OWN_HOURS),
        again=st.sampled_from(["", "", "later", "otherwise"]),
        back=st.booleans(),
    )
    def redeem(self, which: int, asked: Sequence[tuple[str, str, int]], hours: int, again: str, back: bool) -> None:
        """Users enter public codes, in one spelling or another; the last of it is asked for again later, or otherwise. `back`: the first
        of it is taken back, and the last user enters the code once more.
        """
        self._drain()
        if not self.shop.book.campaigns.keys() & CODED.keys() and len(self.shop.book.campaigns) < MOST_CAMPAIGNS:
            campaign_id = sorted(CODED)[which % len(CODED)]
            self._run(self.shop.launch(campaign_id, CODED[campaign_id]))
            self._tell_workers()
        for user, code, amount in asked:
            self._ask(REDEMPTION, user, hours, {"code": code, "amount": amount, "shop": "x"})
        self._ask_again(again, hours, {"code": asked[0][1], "amount": 1})
        if back:
            self._take_back((-len(asked), None, {}), asked[0][0], len(self.sent) + 1, of_all=True)
            user, code, amount = asked[-1]
            self._ask(REDEMPTION, user, hours, {"code": code, "amount": amount, "shop": "x"})

    @precondition(lambda self: self.is_open and self._list_grantable())
    @rule(
        which=NUMBERS,
        users=st.lists(st.sampled_from(USERS), min_size=1, max_size=4),
        value=st.integers(1, 6),
        hours=st.sampled_from(OWN_HOURS),
        again=st.sampled_from(["", "", "later", "otherwise"]),
        taken=st.one_of(st.none(), TAKEN_BACK),
    )
    def grant_by_hand(
        self, which: int, users: Sequence[str], value: int, hours: int, again: str, taken: TakenBack | None
    ) -> None:
        """Users are granted what a campaign gives, by hand; the last of it is asked for again later, or otherwise, and some is taken back."""
        campaigns = self._list_grantable()
        campaign_id = campaigns[which % len(campaigns)]
        rewards = self.shop.book.campaigns[campaign_id]["definition"]["rewards"]
        values = [{"reward_index": index, "value": value} for index, each in enumerate(rewards) if "formula" in each]
        order = {"campaign_id": campaign_id, "reason": "the parcel came late", "values": values}
        for user in users:
            self._ask(GRANT, user, hours, order | {"by": "one"})
        self._ask_again(again, hours, order | {"reason": "so that it differs"})
        if taken:
            self._take_back(taken, users[0], len(self.sent) + 1, of_all=False)

    def _list_grantable(self) -> list[str]:
        """What the API lets somebody grant by hand."""
        campaigns = self.shop.book.campaigns
        running = sorted(name for name, each in campaigns.items() if each["state"] == "running")
        return [name for name in running if "quest" not in campaigns[name]["definition"]]

    def _ask(self, action: str, user: str, hours: int, data: Mapping[str, Any]) -> None:
        event = write_own(self.shop.tenant_id, action, f"o{len(self.sent)}", user, hours, data)
        self._send(place_user(user), event)

    def _ask_again(self, how: str, hours: int, otherwise: Mapping[str, Any]) -> None:
        """The newest once more: at another time and by somebody else, or with something else in it."""
        partition, event = self.sent[-1]
        if how:
            data = {**event["data"], **(otherwise if how == "otherwise" else {})}
            data |= {"by": "another"} if "by" in data else {}
            time = (NOON + timedelta(hours=hours + 1)).isoformat()
            self._send(partition, {**event, "time": time, "data": data})

    def _take_back(self, taken: TakenBack, user: str, next_event: int, of_all: bool) -> None:
        """Of a grant by hand nothing is left that could be told: it says nothing of a cart."""
        where, owner, part = taken
        known = [event for _, event in self.sent if of_all or event["type"] != REVERSAL]
        if -len(known) <= where < 0 and known[where]["type"] == GRANT:
            part = {name: value for name, value in part.items() if name != "after"}
        super()._take_back((where, owner, part), user, next_event, of_all)

    # ------------------------------------------------------------ who is who
    @rule(
        who=st.sampled_from(PAIRS),
        before=st.lists(ACTED, max_size=6),
        after=st.lists(ACTED, min_size=1, max_size=5),
        taken=st.lists(TAKEN_BACK, max_size=3),
        reads=st.sampled_from(["all", "all", "some", "hangs"]),
        which=NUMBERS,
        wakes=st.booleans(),
    )
    def merge(
        self,
        who: tuple[str, str],
        before: Sequence[Acted],
        after: Sequence[Acted],
        taken: Sequence[TakenBack],
        reads: str,
        which: int,
        wakes: bool,
    ) -> None:
        """One user becomes another, who both do something before and after it, under both ids; what was done before comes again, and some
        is taken back. `reads`: how much of it workers have read when they are merged; one may have the batch in its hands, and go on with it
        at once (`wakes`).
        """
        user, into = self._choose_pair(who)
        self._act(before, user, into)
        sent = self.sent[-1:]
        if reads == "all":
            self._drain()
        elif readable := self._readable():
            worker = readable[which % len(readable)]
            if reads == "some":
                self._consume(worker)
            elif len(self.stalled) < 3:
                self.stalled.append((worker, self._run(self._take(worker))))
                self._bury(worker)
                self.workers.append(self._join(SIZES[which % len(SIZES)]))
        if user == self.shop.people.find(into) or user in self.shop.people.now:
            return
        self._merge(user, into)
        self._tell_workers()  # it is answered when all know
        if wakes and self.stalled:
            self.wake(which, overtaken=False)
        for partition, event in sent:
            self._send(partition, event)
        self._act(after, user, into)
        for each in taken:
            self._take_back(each, into, len(self.sent) + 1, of_all=False)

    def _merge(self, user: str, into: str) -> None:
        self.journal.append(self._run(self.shop.merge(user, into, f"m{len(self.sent)}")))

    def _choose_pair(self, who: tuple[str, str]) -> tuple[str, str]:
        """Who becomes whom; an anonymous user is a new one each time."""
        user, into = (user if user in USERS else f"{user}-{len(self.sent)}" for user in who)
        return user, into

    def _act(self, acted: Sequence[Acted], user: str, into: str) -> None:
        """Both do the same again and again, as a rule, so that they are at the same quests and limits."""
        for is_hers, code, said in acted:
            whose = into if is_hers else user
            if code:
                self._ask(REDEMPTION, whose, 0, {"code": code, "amount": said[2]})
            else:
                self._send(place_user(whose), write_event(len(self.sent), self.shop.tenant_id, (whose, *said[1:])))
