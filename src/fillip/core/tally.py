"""What a cohort by events keeps of one user: as many of the newest events that count as decide whether the user is in it.

A user is in it while what is left of the events in the window reaches `at_least`. No term is below zero, so without reversals that
hangs on the shortest run of the newest events that reaches it, and on nothing before these. Some more are kept, for when reversals take
of the run. What is kept follows from the set of the events alone, and what is left of each from its reversals: one that comes again,
late or in another order leaves the same tally.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from struct import Struct as Layout
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

MAX_KEPT = 500
"""Events of a user that a tally keeps, 24 bytes each, and once more if reversed: a sum looks at so many in the window, the newest."""
SPARE = 20
"""Events that are kept behind those that decide: so many may be reversed before older ones would be missed."""
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
    """What one event gives to a tally: its time in microseconds since 1970, what tells it from others, and how much.

    `reversed` is what reversals have taken of it.
    """

    at_us: int
    key: int
    amount: int
    reversed: int = 0

    @property
    def left(self) -> int:
        """What counts."""
        return self.amount - self.reversed

    @property
    def at(self) -> datetime:
        """The time of the event."""
        return _EPOCH + timedelta(microseconds=self.at_us)


def make_term(occurred_at: datetime, key: UUID, amount: int = 1) -> Term:
    """The term of an event of that time and key."""
    return Term((occurred_at - _EPOCH) // _MICROSECOND, tell_key(key), amount)


def tell_key(event_key: UUID) -> int:
    """What a term tells an event from others by."""
    return event_key.int & (2**64 - 1)


class Standing(Struct, frozen=True):
    """Whether the user is in the cohort at an instant, until when without another event, and when nothing counts any more.

    None: for good.
    """

    is_member: bool
    leaves_at: datetime | None
    forget_at: datetime | None


class Tally(Struct, frozen=True):
    """The newest terms of one user, the newest first; among them those of which nothing is left."""

    terms: tuple[Term, ...] = ()

    def add(
        self, terms: Iterable[Term], rule: CohortRule, at: datetime, shares: Mapping[int, Fraction] = {}
    ) -> "Tally":
        """With these too; those that decide nothing any more go. Of two with one key the first that came counts.

        `shares`: by key, what share of an event is reversed by now; of events that it does not name nothing changes.
        """
        known = {term.key: term for term in self.terms}
        for term in terms:
            if term.amount > 0:
                known.setdefault(term.key, term)
        for key in known.keys() & shares.keys():
            known[key] = _lower(known[key], rule, shares[key])
        newest = sorted(known.values(), reverse=True)[:MAX_KEPT]
        if rule.window is not None:
            newest = [term for term in newest if term.at + rule.window > at]
        run = _measure_run((term.amount for term in newest), rule.at_least)
        return Tally(tuple(newest if run is None else newest[: run + SPARE]))

    def stand(self, rule: CohortRule, at: datetime) -> Standing:
        """How the user stands at an instant."""
        run = _measure_run((term.left for term in self.terms), rule.at_least)
        if rule.window is None:
            return Standing(run is not None, None, None)
        forget_at = self.terms[0].at + rule.window if self.terms else at
        if run is None:
            return Standing(False, None, forget_at)
        leaves_at = self.terms[run - 1].at + rule.window
        return Standing(leaves_at > at, leaves_at, forget_at)

    def pack(self) -> bytes:
        """24 bytes a term, and behind one that is reversed once more, with what is taken below zero."""
        rows = ((t.at_us, t.key, amount) for t in self.terms for amount in (t.amount, -t.reversed) if amount)
        return b"".join(_LAYOUT.pack(*row) for row in rows)


def unpack_tally(octets: bytes) -> Tally:
    """What `pack` has made."""
    terms = list[Term]()
    for at_us, key, amount in _LAYOUT.iter_unpack(octets):
        if amount < 0:
            terms[-1] = replace(terms[-1], reversed=-amount)
        else:
            terms.append(Term(at_us, key, amount))
    return Tally(tuple(terms))


def _lower(term: Term, rule: CohortRule, share: Fraction) -> Term:
    """As a quest's step: a sum loses the share, rounded toward zero; a count keeps the event until the whole of it is gone."""
    reach = share if rule.sum is not None or share == 1 else 0
    return replace(term, reversed=int(term.amount * reach))


def _measure_run(amounts: Iterable[int], at_least: int) -> int | None:
    """How many of the first amounts reach `at_least`; None where all together don't."""
    total = 0
    for count, amount in enumerate(amounts, 1):
        total += amount
        if total >= at_least:
            return count
    return None
