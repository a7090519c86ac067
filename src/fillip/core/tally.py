"""What a cohort by events keeps of one user: as many of the newest events that count as decide whether the user is in it.

A user is in it while the events in the window reach `at_least`. No term is below zero, so that hangs on the shortest run of the
newest events that reaches it, and on nothing before these. The run follows from the set of the events alone: one that
comes again, late or in another order leaves the same tally.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from struct import Struct as Layout
from uuid import UUID

from msgspec import Struct

MAX_KEPT = 500
"""Events of a user that a tally keeps, 24 bytes each: a sum looks at so many in the window, the newest."""
MAX_SUM = 2**53
MIN_WINDOW_S, MAX_WINDOW_S = 1, 5 * 366 * 86_400

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LAYOUT = Layout("<qQq")


class CohortRule(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Who is in a cohort: whose events of `action` for which `rule` holds are `at_least` so many, or whose `sum` adds up to it.

    `window_s`: those of the last so many seconds alone, by their own time; None: all. `sum` is an int expression over each
    event; a term below zero counts nothing.
    """

    action: str
    rule: str = "true"
    sum: str | None = None
    at_least: int = 1
    window_s: int | None = None

    @property
    def window(self) -> timedelta | None:
        """The window as a span."""
        return None if self.window_s is None else timedelta(seconds=self.window_s)


class Term(Struct, frozen=True, order=True, gc=False):
    """What one event gives to a tally: its time in microseconds since 1970, what tells it from others, and how much."""

    at_us: int
    key: int
    amount: int

    @property
    def at(self) -> datetime:
        """The time of the event."""
        return _EPOCH + timedelta(microseconds=self.at_us)


def make_term(occurred_at: datetime, key: UUID, amount: int = 1) -> Term:
    """The term of an event of that time and key; more than any rule asks for is as good as that."""
    return Term((occurred_at - _EPOCH) // _MICROSECOND, key.int & (2**64 - 1), min(amount, MAX_SUM))


class Standing(Struct, frozen=True):
    """Whether the user is in the cohort at an instant, until when without another event, and when nothing counts any more.

    None: for good.
    """

    is_member: bool
    leaves_at: datetime | None
    forget_at: datetime | None


class Tally(Struct, frozen=True):
    """The newest terms of one user, the newest first."""

    terms: tuple[Term, ...] = ()

    def add(self, terms: Iterable[Term], rule: CohortRule, at: datetime) -> "Tally":
        """With these too; those that decide nothing any more go. Of two with one key the first that came counts."""
        known = {term.key: term for term in self.terms}
        for term in terms:
            if term.amount > 0:
                known.setdefault(term.key, term)
        newest = sorted(known.values(), reverse=True)[:MAX_KEPT]
        if rule.window is not None:
            newest = [term for term in newest if term.at + rule.window > at]
        run = _measure_run(newest, rule.at_least)
        return Tally(tuple(newest if run is None else newest[:run]))

    def stand(self, rule: CohortRule, at: datetime) -> Standing:
        """How the user stands at an instant."""
        run = _measure_run(self.terms, rule.at_least)
        if rule.window is None:
            return Standing(run is not None, None, None)
        forget_at = self.terms[0].at + rule.window if self.terms else at
        if run is None:
            return Standing(False, None, forget_at)
        leaves_at = self.terms[run - 1].at + rule.window
        return Standing(leaves_at > at, leaves_at, forget_at)

    def pack(self) -> bytes:
        """24 bytes a term."""
        return b"".join(_LAYOUT.pack(term.at_us, term.key, term.amount) for term in self.terms)


def unpack_tally(octets: bytes) -> Tally:
    """What `pack` has made."""
    return Tally(tuple(Term(at_us, key, amount) for at_us, key, amount in _LAYOUT.iter_unpack(octets)))


def _measure_run(newest: Iterable[Term], at_least: int) -> int | None:
    """How many of the newest terms reach `at_least`; None where all together don't."""
    total = 0
    for count, term in enumerate(newest, 1):
        total += term.amount
        if total >= at_least:
            return count
    return None
