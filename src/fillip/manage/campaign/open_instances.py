"""What becomes of a quest's open instances when it changes: they keep their version, or migrate to the new one."""

from pydantic import BaseModel, Field

from fillip.core.campaign.campaign import UNLAUNCHED
from fillip.core.ports import Caller
from fillip.http.errors import Conflict, Invalid
from fillip.manage.campaign.postgres import CampaignRow, Plan, Policy, count_standing
from fillip.manage.store.postgres import Connection

MAX_KEPT = 8
"""Most earlier versions of a quest in force: an event is matched against each."""


class OpenInstances(BaseModel):
    """What the change does to the instances that are open at this moment: `keep` leaves each under its version."""

    policy: Policy
    open: int = Field(description="How many are open, under whatever version", examples=[42])


async def plan_change(connection: Connection, caller: Caller, row: CampaignRow, asked: Policy | None) -> Plan | None:
    """What changing a campaign does to its open instances; None where it can have none.

    Raises Invalid when it is asked for such a one, Conflict when too many versions would be in force.
    """
    if row.state in UNLAUNCHED or row.definition["kind"] != "QUEST":
        if asked:
            what = "is not launched" if row.state in UNLAUNCHED else "is SIMPLE"
            message = f"campaign '{row.campaign_id}' {what} and has no open instances: leave open_instances out"
            raise Invalid(message, at="open_instances")
        return None
    standing = await count_standing(connection, caller, row)
    open_now = sum(standing.values())
    if asked != "keep":
        return Plan("migrate", open_now, ())
    below = zip([0, *row.kept], row.kept, strict=False)
    needed = [n for low, n in below if any(low < version <= n for version in standing)]  # an instance goes on under it
    kept = [*needed, row.version]
    if len(kept) > MAX_KEPT:
        raise Conflict(
            f"instances stand under {len(kept)} versions of '{row.campaign_id}', at most {MAX_KEPT} can be kept:"
            f" change it with open_instances=migrate, or wait until those of version {kept[0]} are over"
        )
    return Plan("keep", open_now, kept)
