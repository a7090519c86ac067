"""Levels of the reference model, as docs/guide/levels.md and decision record 106 tell them: slow, and added up anew at each step.

What is decided goes by levels, and these by what was decided: so the journal is read commit by commit, each by the levels that stood when its
batch was taken, and limits are replayed in the order of the log (no limit that users share may bind).
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from zoneinfo import ZoneInfo

from tests.oracle.claim import Claim, Document, Name
from tests.oracle.compare import answer_turn
from tests.oracle.limits import Tills, reach
from tests.oracle.merging import Merging
from tests.oracle.model import Model, Seen, start_window

DAY_S = 86_400
Grant = tuple[Name, int]
"""(decision, reward index)"""


@dataclass(frozen=True)
class Ladder:
    """The levels of a currency as the API takes them, and how far the sweep is: up to which user the past is counted (None: of all), and up to
    which users stand where the newest definition says (None: all).
    """

    definition: Document
    filled_to: str | None
    followed_to: str | None


@dataclass(frozen=True)
class Commit:
    """Something that may move levels: behind it so many messages of the journal were `read`, and these `ladders` are in force.

    `knew` is how many commits there were when what it decides was taken. `sweeps`: it is the sweep's, which lets users fall.
    """

    read: int
    at: datetime
    knew: int
    ladders: Mapping[str, Ladder]
    sweeps: bool = False


@dataclass(frozen=True)
class Earned:
    """What is left of a grant of points: whose it is by now, and the day that it counts for."""

    user: str
    day: date
    amount: int


@dataclass(frozen=True)
class Weighed:
    """Where what was earned puts a user, and until when if nothing more is earned."""

    level: Document
    above: Document | None
    earned: int
    falls_at: datetime | None


@dataclass(frozen=True)
class Stand:
    """The level that a user has, as it was told."""

    level: str
    threshold: int
    since: datetime
    falls_at: datetime | None


@dataclass(frozen=True)
class Change:
    """A level that changed, as it is announced; numbered by user and currency."""

    user: str
    currency: str
    number: int
    direction: str
    was: str
    now: str
    earned: int
    next_level: str | None
    next_threshold: int | None
    falls_at: datetime | None
    at: datetime


class Levels:
    """One tenant's levels, with the model and the tills that they go by."""

    def __init__(self, tenant: Document) -> None:
        self._zone = ZoneInfo(tenant["time_zone"])
        self._is_live = tenant["clock"] == "live"
        self.model, self.tills = Model(), Tills()
        self.changes: list[Change] = []
        self.reasons = Counter[str]()  # how many changes came of what
        self.stands: dict[str, dict[str, Stand]] = {}  # by currency and user; who never had another level has none
        self.counted: dict[str, dict[Grant, Earned]] = {}  # by currency
        self.ladders: Mapping[str, Ladder] = {}
        self.read_by: dict[Name, Mapping[str, str]] = {}  # by which levels an event was decided
        self._shown: list[dict[str, Mapping[str, str]]] = [{}]  # by how many commits there were, and by attribute

    def replay(self, journal: Sequence[Seen | Merging], commits: Sequence[Commit]) -> None:
        """Read the whole journal."""
        start = 0
        for commit in commits:
            read, told = journal[start : commit.read], len(self.changes)
            for each in read:
                self._read(each, commit.knew)
            start = commit.read
            self._move(commit)
            reason = "merge" if any(isinstance(each, Merging) for each in read) else "batch" if read else "ladder"
            self.reasons["time" if commit.sweeps else reason] += len(self.changes) - told
        assert start == len(journal), "something was read in no commit"

    def weigh(self, currency: str, user: str, at: datetime) -> Weighed:
        """Where a user stands by the sum of the window."""
        ladder = self.ladders[currency].definition
        mine = [each for each in self.counted.get(currency, {}).values() if each.user == user]
        today = at.astimezone(self._zone).date()
        if not self._is_live:
            today = max((each.day for each in mine), default=date.min)
        earned, place = self._find_place(ladder, mine, today)
        levels = ladder["levels"]
        above = levels[place + 1] if place + 1 < len(levels) else None
        return Weighed(levels[place], above, earned, self._find_fall(ladder, mine, today) if place else None)

    def _read(self, each: Seen | Merging, knew: int) -> None:
        """Decide by the levels that stood after so many commits."""
        levels: Mapping[str, str] = {}
        if isinstance(each, Seen):
            user = self.model.people.find(each.event["subject"])
            levels = {attribute: of[user] for attribute, of in self._shown[knew].items()}
            known = {**each.book.users.get(user, {}), **levels}
            each = replace(each, book=replace(each.book, users={**each.book.users, user: known})) if levels else each
        before = len(self.model.turns)
        self.model.read([each])
        for turn in self.model.turns[before:]:
            answer_turn(self.tills, turn)
            if isinstance(turn, Claim) and not turn.instance:
                self.read_by[turn.name] = levels

    def _move(self, commit: Commit) -> None:
        """Weigh whoever earned or lost something, is counted or follows from now on, or whose time has come."""
        before, self.ladders = self.ladders, commit.ladders
        for currency in before.keys() - commit.ladders.keys():
            del self.stands[currency], self.counted[currency]
        for currency, ladder in sorted(commit.ladders.items()):
            had, counted = self.counted.get(currency, {}), dict(self._list_counted(currency, ladder))
            self.counted[currency] = counted
            stands = self.stands.setdefault(currency, {})
            for user in [user for user in stands if self.tills.people.find(user) != user]:
                del stands[user]
            due = {earned.user for grant, earned in counted.items() if had.get(grant) != earned}
            due |= set(_list_followers(before.get(currency), ladder, counted))
            if commit.sweeps:
                due |= {user for user, stand in stands.items() if stand.falls_at and stand.falls_at <= commit.at}
            for user in sorted(due):
                self._give(currency, user, commit.at)
        self._shown.append(dict(self._list_shown()))

    def _list_counted(self, currency: str, ladder: Ladder) -> Iterator[tuple[Grant, Earned]]:
        """The grants of points, less what a reversal asked back of them; while a ladder is new, those of whom the sweep has seen to."""
        for name, claim in self.tills.granted.items():
            for reward in claim.rewards:
                if reward["kind"] == "points" and reward.get("currency", "POINTS") == currency:
                    taken, _ = reach(claim, reward, self.tills.taken[name])
                    earned = Earned(self.tills.people.find(claim.user), claim.day, reward["value"] - taken)
                    if ladder.filled_to is None or claim.user <= ladder.filled_to:
                        yield (self.tills.origins.get(name, name), reward["index"]), earned

    def _give(self, currency: str, user: str, at: datetime) -> None:
        """The level that a user has by now; a change is told where its name is another."""
        stands, lowest = self.stands[currency], self.ladders[currency].definition["levels"][0]
        now, was = self.weigh(currency, user, at), stands.get(user)
        name, threshold = now.level["name"], now.level["from"]
        had, had_from = (was.level, was.threshold) if was else (lowest["name"], 0)
        if name != had:
            direction = "up" if threshold > had_from else "down" if threshold < had_from else "renamed"
            number = 1 + sum((each.user, each.currency) == (user, currency) for each in self.changes)
            above = (now.above["name"], now.above["from"]) if now.above else (None, None)
            told = (direction, had, name, now.earned, *above, now.falls_at, at)
            self.changes.append(Change(user, currency, number, *told))
        if was or name != had:
            since = was.since if was and name == had else at
            stands[user] = Stand(name, threshold, since, now.falls_at)

    def _list_shown(self) -> Iterator[tuple[str, Mapping[str, str]]]:
        """The level of every user, under the attribute by which rules read it: the lowest of who has none."""
        for currency, ladder in self.ladders.items():
            lowest = ladder.definition["levels"][0]["name"]
            if attribute := ladder.definition.get("attribute"):
                told = {user: stand.level for user, stand in self.stands[currency].items()}
                yield attribute, defaultdict(partial(str, lowest), told)

    def _find_place(self, ladder: Document, mine: Sequence[Earned], today: date) -> tuple[int, int]:
        """What was earned in the window of a day, and the highest level that is reached by it."""
        earned = sum(each.amount for each in mine if _counts(ladder, each.day, today))
        return earned, max(n for n, level in enumerate(ladder["levels"]) if level["from"] <= earned)

    def _find_fall(self, ladder: Document, mine: Sequence[Earned], today: date) -> datetime | None:
        """The first midnight at which a level is too high for what is left in the window."""
        if not self._is_live or ladder["span"] == "lifetime":
            return None
        _, place = self._find_place(ladder, mine, today)
        days = sorted(day for day in {_leave(ladder, each.day) for each in mine} if day > today)
        day = next(day for day in days if self._find_place(ladder, mine, day)[1] < place)
        return datetime.combine(day, time(), self._zone).astimezone(UTC)


def _counts(ladder: Document, day: date, today: date) -> bool:
    """Whether what was earned on a day lies in the window of another: a rolling one counts whole days, up to one longer than it is."""
    if ladder["span"] == "rolling":
        return today - day <= timedelta(ladder["rolling_s"] // DAY_S)
    return start_window(ladder["span"], day) == start_window(ladder["span"], today)


def _leave(ladder: Document, day: date) -> date:
    """The first day on which what was earned on this one counts no more."""
    if ladder["span"] == "rolling":
        return day + timedelta(ladder["rolling_s"] // DAY_S + 1)
    last = start_window(ladder["span"], day) + timedelta({"month": 31, "year": 366}[ladder["span"]])
    return start_window(ladder["span"], last)


def _list_followers(before: Ladder | None, now: Ladder, counted: Mapping[Grant, Earned]) -> Iterator[str]:
    """Who follows a changed ladder with this portion."""
    if before is not None and before.followed_to is not None:
        for each in counted.values():
            if each.user > before.followed_to and (now.followed_to is None or each.user <= now.followed_to):
                yield each.user
