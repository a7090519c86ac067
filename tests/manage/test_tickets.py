"""Tickets: single use, one minute, hash only, and a scope of their own."""

from datetime import UTC, datetime
from hashlib import sha256

import psycopg
from httpx import AsyncClient

REDEEM = "SELECT tenant_id, user_id FROM redeem_ticket(%s)"


def redeem(database: str, ticket: str) -> tuple[str, str] | None:
    """Redeem a ticket as the gateway does."""
    with psycopg.connect(database, autocommit=True) as owner:
        return owner.execute(REDEEM, [sha256(ticket.encode()).digest()]).fetchone()


async def test_a_ticket_admits_its_user_once_within_a_minute(acme: AsyncClient, database: str) -> None:
    answer = await acme.post("/v1/tickets", json={"user_id": "ada"})
    assert answer.status_code == 201
    made = answer.json()
    assert made["url"] == "ws://127.0.0.1:8081/v1/stream"
    lives_for = datetime.fromisoformat(made["expires_at"]) - datetime.now(UTC)
    assert 50 < lives_for.total_seconds() <= 61
    assert redeem(database, made["ticket"]) == ("acme", "ada")
    assert redeem(database, made["ticket"]) is None


async def test_a_ticket_is_kept_as_a_hash_and_expired_ones_go(acme: AsyncClient, database: str) -> None:
    old = (await acme.post("/v1/tickets", json={"user_id": "ada"})).json()["ticket"]
    with psycopg.connect(database, autocommit=True) as owner:
        kept = owner.execute("SELECT ticket_hash FROM gateway_ticket").fetchone() or (b"",)
        owner.execute("UPDATE gateway_ticket SET expires_at = now() - interval '1 second'")
    assert kept[0] == sha256(old.encode()).digest()
    assert redeem(database, old) is None
    await acme.post("/v1/tickets", json={"user_id": "bob"})
    with psycopg.connect(database, autocommit=True) as owner:
        assert owner.execute("SELECT user_id FROM gateway_ticket").fetchall() == [("bob",)]


async def test_a_ticket_needs_a_user_and_the_scope(plane: object, acme: AsyncClient) -> None:
    for body in ({}, {"user_id": ""}, {"user_id": "x" * 257}, {"user_id": "ada", "role": "admin"}):
        assert (await acme.post("/v1/tickets", json=body)).status_code == 422
    key = await plane.make_key("acme", "manage:write")  # type: ignore[attr-defined]
    client = await plane.client(key)  # type: ignore[attr-defined]
    assert (await client.post("/v1/tickets", json={"user_id": "ada"})).status_code == 403
