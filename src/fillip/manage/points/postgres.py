"""Currencies of points as stored, and what uses each."""

from sqlalchemy import ColumnElement, Table, exists, select

from fillip.core.campaign.reward_kind import KINDS
from fillip.core.ports import Caller
from fillip.manage.campaign.postgres import MAX_NAMED, list_naming
from fillip.manage.object.postgres import Objects
from fillip.manage.store.postgres import Connection
from fillip.manage.store.tables.book import ladder, leaderboard, points_currency, spending_limit
from fillip.manage.store.tables.wallet import balance_import, wallet

currencies = Objects(points_currency, "currency", "there is no definition of the currency {}")
_KINDS = [kind for kind, traits in KINDS.items() if traits.wallet]


def _ask_currency(part: str, member: str) -> str:
    """The JSON path to the currencies of rewards, or limits, whose points go into a wallet."""
    is_points = " || ".join(f'@.{member} == "{kind}"' for kind in _KINDS)
    return f"$.{part}[*] ? ({is_points}).currency"


_IN_CAMPAIGNS = (_ask_currency("rewards", "kind"), _ask_currency("limits", "reward_kind"))


async def list_uses(connection: Connection, caller: Caller, currency: str) -> list[str]:
    """What uses a currency of points and keeps it from being deleted, some of it where there is much; the tenant's lock is held."""
    found = [f"campaign {each}" for each in await list_naming(connection, caller, currency, *_IN_CAMPAIGNS)]
    for kind, column, uses in (
        (
            "limit",
            spending_limit.c.limit_id,
            [*_is_of(spending_limit, caller, currency), spending_limit.c.reward_kind.in_(_KINDS)],
        ),
        ("leaderboard", leaderboard.c.leaderboard_id, _is_of(leaderboard, caller, currency)),
        ("balance import", balance_import.c.import_id, _is_imported(caller, currency)),
    ):
        rows = await connection.execute(select(column).where(*uses).order_by(column).limit(MAX_NAMED))
        found += [f"{kind} {each}" for each in rows.scalars()]
    for kind, uses in (
        ("its ladder", [*_is_of(ladder, caller, currency), ~ladder.c.leaving]),
        ("wallets of users", _is_of(wallet, caller, currency)),
    ):
        if (await connection.execute(select(exists().where(*uses)))).scalar_one():
            found.append(kind)
    return found


def _is_of(table: Table, caller: Caller, currency: str) -> list[ColumnElement[bool]]:
    return [table.c.tenant_id == caller.tenant_id, table.c.currency == currency]


def _is_imported(caller: Caller, currency: str) -> list[ColumnElement[bool]]:
    return [balance_import.c.tenant_id == caller.tenant_id, balance_import.c.sums[currency].is_not(None)]
