"""What was given, of one kind."""

from msgspec import Struct


class Spend(Struct, frozen=True):
    """What was given of one kind: `value` is in points, or in minor units of `currency`. `reversed` of it was really
    taken back since, whenever that was.
    """

    kind: str
    currency: str | None
    count: int
    value: int
    reversed: int
