"""What lots gave for a spend or a hold, and what of it is given back. Pure.

What lots gave for it lies in the order in which they gave it, on top what none has given yet. A refund takes from
the top, so that what stays spent is what a smaller spend would have taken.
"""

from uuid import UUID

from msgspec import Struct

RELEASE = ""
"""What stands for the id of a refund where a hold gives back what was not captured: no tenant's id is empty."""


class Refund(Struct):
    """What is to be given back of a spend, `amount`, and how much of it was; `last_id` is the transfer that gave last."""

    refund_id: str
    amount: int
    returned: int = 0
    last_id: UUID | None = None

    @property
    def is_done(self) -> bool:
        """Whether all of it came back."""
        return self.returned == self.amount


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
