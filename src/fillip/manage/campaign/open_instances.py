"""What becomes of a quest's open instances when it changes: they keep their version, or migrate to the new one."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal

from msgspec import Struct
from pydantic import BaseModel, Field
from sqlalchemy import Integer, Row, cast, func, literal, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from fillip.core.event import ACCEPTED_FOR
from fillip.core.ports import Caller
from fillip.http.errors import Conflict, Invalid
from fillip.manage.store.tables import campaign_version, quest_instance

Policy = Literal["keep", "migrate"]
MAX_KEPT = 8
"""Most earlier versions of a quest in force: an event is matched against each."""
_OVER_FOR_GOOD = timedelta(days=7) + ACCEPTED_FOR
"""So long after its window, an instance takes nothing more: the most lateness, and the oldest event that is taken."""


class OpenInstances(BaseModel):
    """What the change does to the instances that are open at this moment: `keep` leaves each under its version."""

    policy: Policy
    open: int = Field(description="How many are open, under whatever version", examples=[42])


class Plan(Struct, frozen=True):
    """What is asked for, for how many open instances, and the earlier versions that are in force from then on."""

    policy: Policy
    open: int
    kept: Sequence[int]


async def plan_change(connection: AsyncConnection, caller: Caller, row: Row[Any], asked: Policy | None) -> Plan | None:
    """What changing a campaign (a row of the catalogue) does to its open instances; None where it can have none.

    Raises Invalid when it is asked for such a one, Conflict when too many versions would be in force.
    """
    if row.state == "draft" or row.definition["kind"] != "QUEST":
        if asked:
            what = "is a draft" if row.state == "draft" else "is SIMPLE"
            message = f"campaign '{row.campaign_id}' {what} and has no open instances: leave open_instances out"
            raise Invalid(message, at="open_instances")
        return None
    standing = await _count_standing(connection, caller, row)
    open_now = sum(standing.values())
    if asked != "keep":
        return Plan("migrate", open_now, ())
    kept = [*_list_needed(row.kept, standing), row.version]
    if len(kept) > MAX_KEPT:
        raise Conflict(
            f"instances stand under {len(kept)} versions of '{row.campaign_id}', at most {MAX_KEPT} can be kept:"
            f" change it with open_instances=migrate, or wait until those of version {kept[0]} are over"
        )
    return Plan("keep", open_now, kept)


async def _count_standing(connection: AsyncConnection, caller: Caller, row: Row[Any]) -> Mapping[int, int]:
    """By version, how many instances are open now; 0 where there are only such that may be opened again."""
    instance, version, live = quest_instance.c, campaign_version.c, row.clock == "live"
    mine = (version.tenant_id == caller.tenant_id) & (version.campaign_id == row.campaign_id)
    lateness = select(version.version, LATENESS_S.label("lateness_s")).where(mine).cte("lateness")
    lateness = lateness.prefix_with("MATERIALIZED")  # read once a version, not once an instance
    over_at = instance.ends_at + func.make_interval(0, 0, 0, 0, 0, 0, lateness.c.lateness_s)
    is_open = (instance.state == "open") & or_(literal(not live), instance.ends_at.is_(None), over_at >= func.now())
    recent = or_(literal(not live), instance.ends_at.is_(None), instance.ends_at > func.now() - _OVER_FOR_GOOD)
    statement = (
        select(instance.campaign_version, func.count().filter(is_open))
        .join(lateness, lateness.c.version == instance.campaign_version)
        .where(
            instance.tenant_id == caller.tenant_id,
            instance.campaign_id == row.campaign_id,
            instance.state.in_(("open", "lapsed")),
            recent,
        )
        .group_by(instance.campaign_version)
    )
    return {found[0]: found[1] for found in await connection.execute(statement)}


def _list_needed(kept: Sequence[int], standing: Mapping[int, int]) -> list[int]:
    """The kept versions that some instance still goes on under."""
    below = [0, *kept]
    return [n for low, n in zip(below, kept, strict=False) if any(low < version <= n for version in standing)]


_definition = campaign_version.c.definition


LATENESS_S = func.coalesce(cast(_definition[("quest", "lateness_s")].astext, Integer), 0)
