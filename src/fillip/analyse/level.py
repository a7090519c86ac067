"""How users moved between the levels of their ladders."""

from datetime import date

from msgspec import Struct


class LevelMove(Struct, frozen=True):
    """How often a user came from one level to another; `direction` is up, down, or renamed: to one of the same threshold."""

    direction: str
    from_level: str
    to_level: str
    changes: int


class LevelDay(Struct, frozen=True):
    """Changes of levels of one currency on one day of the tenant's calendar, by when they were made.

    `up`, `down` and `renamed` are the sums of `moves`: of changes, so of a user who rises and falls on one day both.
    """

    day: date
    currency: str
    up: int
    down: int
    renamed: int
    moves: list[LevelMove]
