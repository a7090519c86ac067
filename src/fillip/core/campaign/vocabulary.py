"""What a definition may name."""

from collections.abc import Collection, Mapping
from datetime import datetime

from msgspec import Struct

from fillip.core.campaign.reward import POINTS
from fillip.core.schema.types import EMPTY, ObjectType


class Vocabulary(Struct, frozen=True):
    """What a definition may name: the tenant's currency, the types of its users, actions and lists, its cohorts.

    `points` are its currencies of points, `pools` and `badges` what may be given; `now` is None where its clock is
    `history`.
    """

    currency: str
    user: ObjectType
    actions: Mapping[str, ObjectType]
    cohorts: Collection[str]
    lists: ObjectType = EMPTY
    points: Collection[str] = (POINTS,)
    pools: Collection[str] = ()
    badges: Collection[str] = ()
    now: datetime | None = None
