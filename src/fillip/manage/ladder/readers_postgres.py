"""Who reads levels: what a ladder that is changed or deleted, or another user schema, would break."""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from msgspec import Struct
from sqlalchemy import Select, cast, func, select
from sqlalchemy.dialects.postgresql import JSONPATH

from fillip.core.ladder import Level, check_attribute
from fillip.core.ports import Caller
from fillip.core.problem import Fault
from fillip.core.rule import RuleRefused, decode_rule
from fillip.http.errors import Conflict
from fillip.manage.campaign.definition import read_checked
from fillip.manage.campaign.postgres import IS_IN_FORCE
from fillip.manage.request.route import UnitOfWork
from fillip.manage.rule.levels import Ladders, find_read, refuse_unknown_levels
from fillip.manage.store.postgres import Connection
from fillip.manage.store.tables.book import campaign, campaign_version, ladder

_PORTION = 5
"""Versions that are checked at once: between portions other tenants have their turns."""
_MAX_FAULTS = 20
_USES_USER = func.jsonb_path_exists(campaign_version.c.checked, cast("$.*.uses_user ? (@ == true)", JSONPATH))


class _Reader(Struct, frozen=True):
    """A version of a campaign, and its expressions that may read an attribute of users, by their places."""

    at: str
    codes: Mapping[str, bytes]


async def require_kept(work: UnitOfWork, before: str | None, after: str | None, names: Sequence[str]) -> None:
    """Raise Conflict that names the campaigns whose rules a ladder would break, archived ones aside.

    Rules read its level in the attribute `before`, and would in `after`, the `names` of the levels. Call it with the tenant held.
    """
    attributes = {name for name in (before, after) if name is not None}
    if not attributes:
        return
    readers = await _list_readers(work.connection, work.caller, attributes)
    lost = before if before != after else None
    kept: Ladders = {after: names} if after else {}
    portions = [readers[start : start + _PORTION] for start in range(0, len(readers), _PORTION)]
    found = await work.compute_each(_find_broken, portions, lost, kept)
    faults = [*chain.from_iterable(found)][:_MAX_FAULTS]
    if faults:
        broken = ", ".join(fault.at for fault in faults)
        raise Conflict(f"this would break what reads the level: {broken}; change or archive them first", faults=faults)


async def require_declared(connection: Connection, caller: Caller, user_schema: Mapping[str, Any]) -> None:
    """Raise Conflict where users could not have the level of a ladder in its attribute under another schema."""
    mine = (ladder.c.tenant_id == caller.tenant_id) & ladder.c.attribute.is_not(None) & ~ladder.c.leaving
    for row in await connection.execute(select(ladder).where(mine).order_by(ladder.c.currency)):
        levels = [Level(name, threshold) for name, threshold in zip(row.names, row.thresholds, strict=True)]
        if faults := check_attribute(user_schema, row.attribute, levels):
            raise Conflict(
                f"rules read the level of {row.currency} in '{row.attribute}': {faults[0].message}", at="/user_schema"
            )


async def _list_readers(connection: Connection, caller: Caller, attributes: set[str]) -> list[_Reader]:
    """What is in force or drafted and has one of these names somewhere in an expression that reads users."""
    version = campaign_version.c
    mine = (campaign.c.tenant_id == caller.tenant_id) & (campaign.c.state != "archived")
    found: Select[Any] = select(
        version.campaign_id, version.version, version.checked, campaign.c.version.label("newest")
    )
    found = found.join(campaign, IS_IN_FORCE).where(mine, _USES_USER).order_by(version.campaign_id, version.version)
    readers = []
    for row in await connection.execute(found):
        earlier = "" if row.version == row.newest else f"/versions/{row.version}"
        codes = {path: each.code for path, each in read_checked(row).items() if each.uses_user}
        named = {path: code for path, code in codes.items() if any(name.encode() in code for name in attributes)}
        if named:
            readers.append(_Reader(f"campaigns/{row.campaign_id}{earlier}", named))
    return readers


def _find_broken(readers: Sequence[_Reader], lost: str | None, kept: Ladders) -> list[Fault]:
    """Where rules read an attribute that would be no level any more, or say of one that is kept what it would not take."""
    faults = []
    for reader in readers:
        for path, code in reader.codes.items():
            at, tree = f"{reader.at}/{path.replace('.', '/')}", decode_rule(code)
            try:
                refuse_unknown_levels(tree, kept)
                if lost is not None and (place := find_read(tree, lost)) is not None:
                    raise RuleRefused(*tree.locate(place), f"it reads 'user.{lost}', which would be no level any more")
            except RuleRefused as refused:
                faults.append(Fault(at, str(refused)))
    return faults
