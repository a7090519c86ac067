"""Erases a user from the facts in ClickHouse: decisions stay, under the pseudonym. Safe to repeat, beside loads.

Quest instances come under the pseudonym by themselves, as the ledger announces them: those of before go.

A mutation's text stays in the server for long, and of a query perhaps too: none names the user beside the pseudonym. So
rows are looked for by the user's id, in a query that is not logged, and written anew by their places.
"""

from collections.abc import Mapping, Sequence
from itertools import islice
from uuid import UUID

from clickhouse_connect.driver.client import Client

from fillip.analyse.clickhouse.fact_row import count_us
from fillip.analyse.clickhouse.statements import SQL
from fillip.core.erasure import tells_of
from fillip.http.erasure_order import ErasureOrder

MOST_AT_ONCE, ASIDES_AT_ONCE = 2_000, 400
"""A parameter of ClickHouse has 128 KiB at most, and a topic's name 249 characters."""
MORE = "more facts in ClickHouse are still to be written anew"
UNLOGGED, AWAITED = {"log_queries": 0}, {"mutations_sync": 2}


def erase(client: Client, order: ErasureOrder, bounds: Mapping[str, object]) -> str:
    """Write up to MOST_AT_ONCE facts and ASIDES_AT_ONCE records that were set aside anew. "" once nothing is left, else MORE.

    `bounds` tell up to which load facts are known, and from which on they count.
    """
    user = {"tenant_id": order.tenant_id, "user_id": order.user_id}
    asked = user | {"cut_us": count_us(order.cut_at), "most": MOST_AT_ONCE}
    places = client.query(SQL["places_of_user"], parameters=asked, settings=UNLOGGED).result_rows
    if places:
        written = {"tenant_id": order.tenant_id, "pseudonym": order.pseudonym, "places": places}
        client.command(SQL["erase_decisions"], parameters=written, settings=AWAITED)
    instances = _find_instances(client, order, bounds)
    if instances:
        gone = {"tenant_id": order.tenant_id, "ids": instances, "newest": bounds["newest"]}
        client.command(SQL["erase_quests"], parameters=gone, settings=AWAITED)
    asides = _find_asides(client, order)
    if asides:
        client.command(SQL["empty_set_aside"], parameters={"places": asides}, settings=AWAITED)
    is_rest = len(places) < MOST_AT_ONCE and len(instances) < MOST_AT_ONCE and len(asides) < ASIDES_AT_ONCE
    return "" if is_rest else MORE


def _find_instances(client: Client, order: ErasureOrder, bounds: Mapping[str, object]) -> Sequence[UUID]:
    """Those of the user that stand under the pseudonym by now, and those that no report counts any more.

    All that one user ever began is read, under either name: no query has both.
    """
    ours, theirs = (
        client.query(
            SQL["quests_of_user"],
            parameters={"tenant_id": order.tenant_id, "user_id": user_id, "since_quest": bounds["since_quest"]},
            settings=UNLOGGED,
        ).result_rows
        for user_id in (order.user_id, order.pseudonym)
    )
    moved = {(campaign_id, made_us): revision for _, campaign_id, made_us, revision, _ in theirs}
    gone = (each for each, *place, revision, counts in ours if not counts or revision < moved.get(tuple(place), 0))
    return list(islice(gone, MOST_AT_ONCE))


def _find_asides(client: Client, order: ErasureOrder) -> Sequence[tuple[str, int, int]]:
    found: list[tuple[str, int, int]] = []
    asked = {"tenant_id": order.tenant_id}
    bytewise: dict[str, str | dict[str, str]] = {"value": "bytes"}
    with client.query_row_block_stream(SQL["list_set_aside"], parameters=asked, column_formats=bytewise) as blocks:
        for block in blocks:
            found += [tuple(place) for *place, value in block if tells_of(value, order.user_id)]
            if len(found) >= ASIDES_AT_ONCE:
                break
    return found[:ASIDES_AT_ONCE]
