"""What is given back of a spend, and what lots gave for it. Pure.

What lots gave for a spend lies in the order in which they gave it, on top what none has given yet. A refund takes from
the top, so that what stays spent is what a smaller spend would have taken.
"""

from uuid import UUID

from msgspec import Struct

from fillip.core.ledger.points import Transfer
from fillip.http.errors import Conflict

MAX_REFUNDS = 1_000
"""Of one spend; beyond them one of all that is left is still made."""


class Refund(Struct):
    """What is to be given back of a spend, `amount`, and how much of it was; `last_id` is the transfer that gave last."""

    refund_id: str
    amount: int
    returned: int = 0
    last_id: UUID | None = None


class LotPortion(Struct, frozen=True):
    """A portion that lots gave for a spend: of its amount, counted from the first lot, what lies from `begin` to `end`."""

    part: int
    begin: int
    end: int


class SpentPortions(Struct):
    """What of a spend is still spent, `top`, and the portions that lots gave of it, the last one at the end."""

    top: int
    lots: list[LotPortion]

    @property
    def bare(self) -> int:
        """What no lot has given."""
        return self.top - (self.lots[-1].end if self.lots else 0)

    def take(self, amount: int) -> None:
        """Take so much off the top."""
        self.top -= amount
        while self.lots and self.lots[-1].begin >= self.top:
            self.lots.pop()
        if self.lots and self.lots[-1].end > self.top:
            last = self.lots[-1]
            self.lots[-1] = LotPortion(last.part, last.begin, self.top)


def ask_amount(spent: Transfer, left: int, amount: int | None, count: int) -> int:
    """What a new refund of `amount` (None: of all that is left) is of, of which `left` may be; raises Conflict."""
    of_spend = f"of the {spent.amount} of spend '{spent.source_id}'"
    if not left:
        raise Conflict(f"nothing {of_spend} is left to be refunded")
    if amount and amount > left:
        raise Conflict(f"{left} {of_spend} are left to be refunded, {amount} are asked for", at="/amount")
    if count >= MAX_REFUNDS and amount not in (None, left):
        raise Conflict(f"a spend has at most {MAX_REFUNDS} refunds: refund all {left} that are left", at="/amount")
    return amount or left
