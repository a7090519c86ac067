"""What a definition may name, and what its expressions may read."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from msgspec import Struct

from fillip.core.campaign.reward import POINTS
from fillip.core.schema.types import EMPTY, ObjectType


class TypeContext(Struct, frozen=True):
    """What types a tenant's expressions: the attributes of its actions and of its users, its lists.

    `cohorts` are those that may be named; None where what was saved before is only typed anew, which keeps them there. `levels` are, by the
    attribute of users in which rules read them, those of each ladder, the lowest first.
    """

    actions: Mapping[str, ObjectType]
    user: ObjectType = EMPTY
    lists: ObjectType = EMPTY
    cohorts: Collection[str] | None = None
    levels: Mapping[str, Sequence[str]] = {}


class Vocabulary(Struct, frozen=True):
    """What a definition may name: the tenant's currency, and what its expressions may read.

    `points` are its currencies of points, `pools` and `badges` what may be given, `time_zone` is that of its calendar; `now` is None
    where its clock is `history`.
    """

    currency: str
    types: TypeContext
    points: Collection[str] = (POINTS,)
    pools: Collection[str] = ()
    badges: Collection[str] = ()
    now: datetime | None = None
    time_zone: str = "UTC"
