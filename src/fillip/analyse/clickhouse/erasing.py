"""Erases a user from the facts in ClickHouse: decisions stay, under the pseudonym. Safe to repeat, beside loads.

A mutation's text stays in the server for long, and of a query perhaps too: none names the user beside the pseudonym. So
rows are looked for by the user's id, in a query that is not logged, and written anew by their places.
"""

from collections.abc import Sequence

from clickhouse_connect.driver.client import Client

from fillip.analyse.clickhouse.fact_row import count_us
from fillip.analyse.clickhouse.statements import SQL
from fillip.core.erasure import tells_of
from fillip.http.erasure_order import ErasureOrder

MOST_AT_ONCE, ASIDES_AT_ONCE = 2_000, 400
"""A parameter of ClickHouse has 128 KiB at most, and a topic's name 249 characters."""
MORE = "more facts in ClickHouse are still to be written anew"
UNLOGGED, AWAITED = {"log_queries": 0}, {"mutations_sync": 2}


def erase(client: Client, order: ErasureOrder) -> str:
    """Write up to MOST_AT_ONCE facts and ASIDES_AT_ONCE records that were set aside anew. "" once nothing is left, else MORE."""
    user = {"tenant_id": order.tenant_id, "user_id": order.user_id}
    asked = user | {"cut_us": count_us(order.cut_at), "most": MOST_AT_ONCE}
    places = client.query(SQL["places_of_user"], parameters=asked, settings=UNLOGGED).result_rows
    if places:
        written = {"tenant_id": order.tenant_id, "pseudonym": order.pseudonym, "places": places}
        client.command(SQL["erase_decisions"], parameters=written, settings=AWAITED)
    asides = _find_asides(client, order)
    if asides:
        client.command(SQL["empty_set_aside"], parameters={"places": asides}, settings=AWAITED)
    return MORE if len(places) == MOST_AT_ONCE or len(asides) == ASIDES_AT_ONCE else ""


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
