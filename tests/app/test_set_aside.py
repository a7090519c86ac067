"""An unforeseen error for one event or row, at every place of the worker: it is set aside, and all else is decided."""

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import psycopg
import pytest
from prometheus_client import REGISTRY

from fillip.app import refusals
from fillip.core.ledger import settlement
from fillip.core.ledger.decision import identify_decision
from fillip.embedded.addresses import Addresses
from fillip.ingest import stage as ingest
from fillip.ingest.decode import read_event
from fillip.limit import Hint
from fillip.match import keeper_postgres
from fillip.match import stage as match
from fillip.match.keeper_postgres import BookKeeper
from fillip.match.refusals import Refusals
from tests.app.worker_world import Worker, running_worker
from tests.match.conftest import Shop, book_shop

__all__ = ["book_shop"]

GOOD = {f"good-{n}" for n in range(40)}
BAD = {"bad-1", "bad-2", "bad-3"}
MIXED = sorted(GOOD | BAD, key=lambda event_id: event_id[::-1])
TRIGGER = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF NEW.event_id LIKE 'bad-%' THEN RAISE EXCEPTION 'no room for %', NEW.event_id USING ERRCODE = '{code}'; END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER refuse BEFORE INSERT ON decision FOR EACH ROW EXECUTE FUNCTION refuse();
"""


class Bug(Exception):
    """What nobody has foreseen."""


def fail_for_bad(call: Callable[..., Any], find_id: Callable[..., str | None]) -> Callable[..., Any]:
    """The same function, with an error for events whose id begins with `bad`."""

    def failing(*arguments: Any, **named: Any) -> Any:
        if (find_id(*arguments, **named) or "").startswith("bad"):
            raise Bug("planted")
        return call(*arguments, **named)

    return failing


def plant_in_ingest(monkeypatch: pytest.MonkeyPatch, owner: psycopg.Connection) -> None:
    monkeypatch.setattr(ingest, "read_event", fail_for_bad(read_event, lambda envelope, *_: envelope.id))


def plant_in_match(monkeypatch: pytest.MonkeyPatch, owner: psycopg.Connection) -> None:
    monkeypatch.setattr(match, "_meet", fail_for_bad(match._meet, lambda look, *_: look.event.event_id))


def plant_in_limit(monkeypatch: pytest.MonkeyPatch, owner: psycopg.Connection) -> None:
    def find_bad(_: Hint, items: Any) -> str | None:
        return next((i.event.event_id for i in items if i.event.event_id.startswith("bad")), None)

    monkeypatch.setattr(Hint, "__call__", fail_for_bad(Hint.__call__, find_bad))


def plant_in_settle(monkeypatch: pytest.MonkeyPatch, owner: psycopg.Connection) -> None:
    named = fail_for_bad(identify_decision, lambda *given: given[4])
    monkeypatch.setattr(settlement, "identify_decision", named)


def plant_in_the_ledger(monkeypatch: pytest.MonkeyPatch, owner: psycopg.Connection) -> None:
    owner.execute(TRIGGER.format(code="P0001"))


def plant_a_time_out(monkeypatch: pytest.MonkeyPatch, owner: psycopg.Connection) -> None:
    """An error that passes by its kind, and never does."""
    owner.execute(TRIGGER.format(code="57014"))


PLANTED = {
    "ingest": (plant_in_ingest, "Bug: planted"),
    "match": (plant_in_match, "Bug: planted"),
    "limit": (plant_in_limit, "Bug: planted"),
    "settle": (plant_in_settle, "Bug: planted"),
    "ledger": (plant_in_the_ledger, "RaiseError: no room for"),
    "ledger, passing": (plant_a_time_out, "QueryCanceledError: no room for"),
}


def count_undecidable() -> float:
    return REGISTRY.get_sample_value("fillip_settle_rejections_total", {"reason": "undecidable"}) or 0


@pytest.fixture
async def worker(book_shop: Shop, database: str, servers: Addresses) -> AsyncIterator[Worker]:
    book_shop.launch("any")
    async with running_worker(book_shop, database, servers) as running:
        yield running


@pytest.mark.parametrize("place", PLANTED)
async def test_what_fails_for_one_event_stops_no_other(
    worker: Worker, place: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    plant, said = PLANTED[place]
    plant(monkeypatch, worker.shop.owner)
    counted = count_undecidable()

    await worker.buy(*MIXED)
    await worker.until(lambda: worker.read_aside().keys() == BAD and worker.read_granted() == GOOD)
    await worker.buy("later")
    await worker.until(lambda: worker.read_granted() == GOOD | {"later"})

    for reason, detail in worker.read_aside().values():
        assert reason == "undecidable"
        assert said in detail
    whose = worker.shop.owner.execute(
        "SELECT DISTINCT tenant_id, convert_from(original, 'UTF8')::json->>'subject' FROM rejection"
    )
    assert set(whose) == {("acme", f"user-{event_id}") for event_id in BAD}
    assert count_undecidable() == counted + len(BAD)
    assert sum("set aside" in record.message and record.levelname == "ERROR" for record in caplog.records) == len(BAD)
    assert worker.shop.owner.execute("SELECT sum(next_offset) FROM consumer_position").fetchone() == (len(MIXED) + 1,)


async def test_a_set_aside_event_is_decided_once_it_is_sent_again(worker: Worker) -> None:
    plant_in_the_ledger(pytest.MonkeyPatch(), worker.shop.owner)
    value = worker.write("bad-1")
    await worker.send([value])
    await worker.until(lambda: worker.read_aside().keys() == {"bad-1"})
    worker.shop.owner.execute("DROP TRIGGER refuse ON decision")
    [(original,)] = worker.shop.owner.execute("SELECT original FROM rejection").fetchall()
    assert bytes(original) == value
    await worker.send([bytes(original)])
    await worker.until(lambda: worker.read_granted() == {"bad-1"})


def add_tenant(owner: psycopg.Connection, tenant: str) -> None:
    """Another tenant, all as acme's."""
    for table in ("tenant", "action", "campaign", "campaign_version"):
        columns = [
            name
            for (name,) in owner.execute(
                "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND attname <> 'tenant_id'",
                [table],
            )
        ]
        named = ", ".join(columns)
        owner.execute(
            f"INSERT INTO {table} (tenant_id, {named}) SELECT '{tenant}', {named} FROM {table} WHERE tenant_id = 'acme'"
        )


async def test_a_definition_that_can_not_be_read_stops_no_other_tenant(worker: Worker) -> None:
    owner = worker.shop.owner
    add_tenant(owner, "broken")
    owner.execute("UPDATE campaign_version SET definition = '{\"kind\": 7}' WHERE tenant_id = 'broken'")
    await worker.send([worker.write(f"{t}-{n}", t) for n in range(20) for t in ("acme", "broken")])
    await worker.until(lambda: len(worker.read_granted()) == 20 and len(worker.read_aside()) == 20)
    reasons = {reason for reason, _ in worker.read_aside().values()}
    assert reasons == {"undecidable"}
    assert all("definitions can't be read" in detail for _, detail in worker.read_aside().values())


async def test_a_change_that_can_not_be_read_leaves_the_old_book_in_force(worker: Worker) -> None:
    await worker.buy("before")
    await worker.until(lambda: worker.read_granted() == {"before"})
    failed = REGISTRY.get_sample_value("fillip_match_books_unbuilt_total") or 0
    worker.shop.owner.execute("UPDATE campaign_version SET version = 2, definition = '{\"kind\": 7}'")
    worker.shop.owner.execute("UPDATE campaign SET version = 2")
    worker.shop.owner.execute("UPDATE tenant SET book_version = 1")
    await worker.until(lambda: (REGISTRY.get_sample_value("fillip_match_books_unbuilt_total") or 0) > failed)
    await worker.buy("after")
    await worker.until(lambda: worker.read_granted() == {"before", "after"})


async def test_the_tasks_beside_the_walk_do_not_end_the_worker(
    book_shop: Shop, database: str, servers: Addresses, monkeypatch: pytest.MonkeyPatch
) -> None:
    book_shop.launch("any")
    told, beaten, beat = 0, 0, BookKeeper.beat

    def fail_to_tell(*_: object) -> None:
        nonlocal told
        told += 1
        raise Bug("planted")

    async def fail_at_first(self: BookKeeper) -> Mapping[str, int]:
        nonlocal beaten
        beaten += 1
        if beaten < 3:
            raise Bug("planted")
        return await beat(self)

    monkeypatch.setattr(Refusals, "tell", fail_to_tell)
    monkeypatch.setattr(refusals, "TELL_EVERY_S", 0.05)
    monkeypatch.setattr(keeper_postgres, "BEAT_EVERY_S", 0.05)
    monkeypatch.setattr(BookKeeper, "beat", fail_at_first)
    async with running_worker(book_shop, database, servers) as worker:
        await worker.until(lambda: told > 2 and beaten > 2)
        await worker.buy("e1")
        await worker.until(lambda: worker.read_granted() == {"e1"})
