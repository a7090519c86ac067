"""Limits of the reference model: who still fits, one claim after the other, and what reversals take back of grants."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction

from tests.oracle.claim import Claim, CounterName, Document, Name, Touch, find_tried_before, is_counted
from tests.oracle.merging import Brought, Merged, People
from tests.oracle.reversal import Past, Undoing

DIVISIBLE = ("points", "cashback")
MOST_GRANTS = 1_000
"""Of one event."""
NONE, WHOLE = Fraction(0), Fraction(1)


@dataclass(frozen=True)
class Verdict:
    """What a claim should have come to. `before` is the use of each counter before it."""

    claim: Claim
    reason: str
    before: Mapping[CounterName, int]
    refused_by: tuple[Touch, ...]

    @property
    def outcome(self) -> str:
        """Granted or denied."""
        return "granted" if self.reason == "granted" else "denied"


@dataclass(frozen=True)
class Return:
    """What a reversal should have come to.

    `given` are the amounts that each counter got back, by grant, `before` its use before them. `told` are what was taken
    of incentives: (claim's name, reward index, value).
    """

    undoing: Undoing
    state: str
    reason: str
    given: Mapping[CounterName, list[int]] = field(default_factory=dict)
    before: Mapping[CounterName, int] = field(default_factory=dict)
    told: tuple[tuple[Name, int, int], ...] = ()


@dataclass(frozen=True)
class Taken:
    """What was taken back of a grant: its share, and of each reward that was asked for again (value, whether it is gone), by index."""

    share: Fraction = Fraction(0)
    again: Mapping[int, tuple[int, bool]] = field(default_factory=dict)


@dataclass
class Tills:
    """All counters, from nothing, and all that was granted, with what was taken back of each grant."""

    used: dict[CounterName, int] = field(default_factory=lambda: defaultdict(int))
    rolling: dict[CounterName, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))  # by part
    granted: dict[Name, Claim] = field(default_factory=dict)
    taken: dict[Name, "Taken"] = field(default_factory=lambda: defaultdict(Taken))
    pasts: dict[str, Past] = field(default_factory=lambda: defaultdict(Past))
    told: set[Name] = field(default_factory=set)  # what would be granted of what is in shadow
    held: dict[tuple[str, str], set[Name]] = field(default_factory=lambda: defaultdict(set))
    """By (user, badge) the grants of it that stand: more than one where two who had it are one by now."""
    people: People = field(default_factory=People)
    origins: dict[Name, Name] = field(default_factory=dict)  # of grants that a merge has given another name
    stayed: dict[tuple[Name, int], str] = field(default_factory=dict)
    """With whom the points of a reward are of which nothing remained when their user was merged, by its first name and index."""

    def decide(self, claim: Claim) -> Verdict:
        """Grant if every limit has room for all of it, and take it from all; else take from none."""
        if claim.among is not None:
            claim = find_tried_before(claim, self.granted.values(), claim.among)
        claim = self._cut(claim)
        before = {touch.counter: self._weigh(touch) for touch in claim.touches}
        refused_by = tuple(t for t in claim.touches if before[t.counter] + t.amount > t.cap)
        outranked = "outranked" if claim.rivals & self.granted.keys() else None
        crowded = "too_many_grants" if len(claim.earlier & self.granted.keys()) >= MOST_GRANTS else None
        limited, held = "limit" if refused_by else None, "already_held" if self._holds(claim.badges) else None
        reason = claim.refusal or outranked or crowded or limited or held or "granted"
        if reason == "granted":
            self.granted[claim.name] = claim
            for badge in claim.badges:
                self.held[badge].add(claim.name)
            for touch in claim.touches:
                self._use(touch, touch.amount)
        elif reason == "shadow":
            self.told.add(claim.name)
        return Verdict(claim, reason, before, refused_by)

    def take_back(self, undoing: Undoing) -> Return:
        """Take what a reversal says from what was granted, and give its counters back their part."""
        reversal = undoing.reversal
        if undoing.refusal:
            return Return(undoing, *undoing.refusal)
        past = self.pasts[reversal.event].weigh(reversal)
        if isinstance(past, tuple):
            return Return(undoing, *past)
        if not undoing.readable:
            return Return(undoing, "refused", "unreadable_after")
        shares = dict(self._list_earned(undoing, past.share))
        if not shares and not undoing.involved:
            return Return(undoing, "nothing", "earned_nothing")
        self.pasts[reversal.event] = past
        given: dict[CounterName, list[int]] = defaultdict(list)
        before_all = dict(self.used)
        told: list[tuple[Name, int, int]] = []
        for name, share in shares.items():
            claim, before = self.granted[name], self.taken[name]
            after = ask_again(claim, before, share, reversal.after)
            for touch in claim.touches if claim.gives_back else ():
                if amount := _return(claim, touch, after) - _return(claim, touch, before):
                    now = replace(touch, counter=self._find_counter(touch.counter))
                    given[now.counter].append(amount)
                    self._use(now, -amount)
            for reward in claim.rewards:
                (value, gone), (value_before, gone_before) = reach(claim, reward, after), reach(claim, reward, before)
                told += (
                    [(self.origins.get(name, name), reward["index"], value - value_before)]
                    if value > value_before or gone > gone_before
                    else []
                )
                if gone and not gone_before and "badge" in reward:
                    self.held[self.people.find(claim.user), reward["badge"]].discard(name)
            self.taken[name] = after
        used = {counter: before_all[counter] for counter in given}
        return Return(undoing, "applied", "applied", given, used, tuple(told))

    def merge(self, merged: Merged) -> Brought:
        """What the one has used is added to what the other has, window by window; badges are hers, once, and so are points."""
        user, into = merged.user, merged.into
        points = self._sum_points(user)
        self._leave_spent(user)
        mine = [counter for counter, used in self.used.items() if counter[1] == user and used]
        for counter in [each for each in self.used if each[1] == user]:
            self.used[_give(counter, into)] += self.used.pop(counter)
        for counter in [each for each in self.rolling if each[1] == user]:
            self.rolling[_give(counter, into)].update(self.rolling.pop(counter))
        badges = [badge for (owner, badge), names in self.held.items() if owner == user and names]
        brought = [badge for badge in badges if not self.held[into, badge]]
        for badge in badges:
            self.held[into, badge] |= self.held.pop((user, badge))
        self._rename(merged.renamed)
        self.people.merge(user, into)
        return Brought(points, len(mine), merged.instances, len(brought))

    def _rename(self, renamed: Mapping[Name, Name]) -> None:
        """Grants of quests go by the names that their instances have now."""
        granted = {old: self.granted.pop(old) for old in renamed if old in self.granted}
        taken = {old: self.taken.pop(old) for old in renamed if old in self.taken}
        origins = {old: self.origins.pop(old, old) for old in renamed}
        told = {old for old in renamed if old in self.told}
        for old, new in renamed.items():
            self.origins[new] = origins[old]
            if old in granted:
                self.granted[new] = replace(granted[old], instance=new[1])
            if old in taken:
                self.taken[new] = taken[old]
        self.told = (self.told - told) | {renamed[old] for old in told}

    def _sum_points(self, user: str) -> Mapping[str, int]:
        sums = Counter[str]()
        for name, claim in self.granted.items():
            for reward in claim.rewards if self.people.find(claim.user) == user else ():
                if reward["kind"] == "points":
                    taken, _ = reach(claim, reward, self.taken[name])
                    sums[reward.get("currency", "POINTS")] += reward["value"] - taken
        return {currency: amount for currency, amount in sums.items() if amount}

    def _leave_spent(self, user: str) -> None:
        for name, claim in self.granted.items():
            for reward in claim.rewards if self.people.find(claim.user) == user else ():
                if reward["kind"] == "points" and reach(claim, reward, self.taken[name])[0] == reward["value"]:
                    self.stayed.setdefault((self.origins.get(name, name), reward["index"]), user)

    def _find_counter(self, counter: CounterName) -> CounterName:
        """Whose it is by now."""
        return _give(counter, self.people.find(counter[1]))

    def _holds(self, badges: Iterable[tuple[str, str]]) -> bool:
        return any(self.held.get(badge) for badge in badges)

    def _cut(self, claim: Claim) -> Claim:
        """The claim with what the limits have left that give that: the last rewards give up first, none all of it."""
        values = [reward.get("value", 0) for reward in claim.rewards]
        for touch in claim.touches:
            if touch.partial and touch.counts:
                mine = [n for n, reward in enumerate(claim.rewards) if is_counted(reward, touch.counts)]
                while sum(values[n] for n in mine) > max(touch.cap - self._weigh(touch), 0):
                    longest = [n for n in mine if values[n] > 1]
                    if not longest:
                        return claim
                    values[longest[-1]] -= 1
        rewards = tuple(
            {**reward, "value": value, "wanted": reward["value"]} if reward.get("value", 0) != value else reward
            for reward, value in zip(claim.rewards, values, strict=True)
        )
        return replace(claim, rewards=rewards, touches=tuple(_lower(touch, rewards) for touch in claim.touches))

    def _weigh(self, touch: Touch) -> int:
        """What is used; of rolling windows the most in any of so many parts that hold the event's."""
        if touch.part is None:
            return self.used[touch.counter]
        (mine, reach), uses = touch.part, self.rolling[touch.counter]
        windows = [range(first, first + reach + 1) for first in range(mine - reach, mine + 1)]
        return max(sum(amount for part, amount in uses.items() if part in window) for window in windows)

    def _use(self, touch: Touch, amount: int) -> None:
        self.used[touch.counter] += amount
        if touch.part:
            self.rolling[touch.counter][touch.part[0]] += amount

    def _list_earned(self, undoing: Undoing, share: Fraction) -> Iterator[tuple[Name, Fraction]]:
        """What was granted for the event itself, and by quests that it leaves incomplete: those go in whole."""
        for name, claim in self.granted.items():
            if claim.event == undoing.reversal.event and not claim.instance:
                yield name, share
        for undone in undoing.undone:
            if undone.lost and (name := (undone.campaign, undone.instance, undone.lost)) in self.granted:
                yield name, WHOLE


def _lower(touch: Touch, rewards: tuple[Document, ...]) -> Touch:
    """What a grant of these rewards takes, and what it wanted where that is more."""
    if touch.counts is None:
        return touch
    amount = sum(reward.get("value", 0) for reward in rewards if is_counted(reward, touch.counts))
    return touch if amount == touch.amount else replace(touch, amount=amount, wanted=touch.amount)


def _give(counter: CounterName, user: str) -> CounterName:
    limit, _, key, first_day = counter
    return limit, user, key, first_day


def ask_again(claim: Claim, before: Taken, share: Fraction, left: Document | None) -> Taken:
    """What will have been taken of a grant once so much of its event is gone, and this is left of it, where that is told.

    Of several returns the least counts: what is gone stays gone.
    """
    again = dict(before.again)
    for reward in claim.rewards:
        if reward.get("on_partial") != "reevaluate" or share == 1:
            continue
        index, granted = reward["index"], reward.get("value", 0)
        value, gone = reach(claim, reward, before)
        due, lost = _prorate(claim, reward, share), False
        if left is not None and claim.ask:
            met, worth = claim.ask(left)
            less = granted - min(granted, max(worth[index], 0) if "formula" in reward else granted)
            lost = not met or (granted > 0 and less == granted)
            due = granted if lost else less if reward["kind"] in DIVISIBLE else 0
        again[index] = max(value, due), gone or lost
    return Taken(share, again)


def reach(claim: Claim, reward: Document, taken: Taken) -> tuple[int, bool]:
    """What is taken of a reward, and whether it is gone: all, what asking again came to, or its part where it can be divided."""
    if taken.share == 1:
        return reward.get("value", 0), True
    return taken.again.get(reward["index"]) or (_prorate(claim, reward, taken.share), False)


def _prorate(claim: Claim, reward: Document, share: Fraction) -> int:
    """Its part, rounded down, of what can be divided and is not kept."""
    divisible = reward["kind"] in DIVISIBLE and not claim.instance and reward.get("on_partial") != "keep"
    return int(reward.get("value", 0) * (share if divisible else NONE))


def _return(claim: Claim, touch: Touch, taken: Taken) -> int:
    """What a counter gets back: of a value its parts, of a grant that counts one nothing before all of it is gone."""
    reached = [(each, *reach(claim, each, taken)) for each in claim.rewards]
    if all(gone for *_, gone in reached):
        return touch.amount
    return sum(value for each, value, _ in reached if touch.counts and is_counted(each, touch.counts))
