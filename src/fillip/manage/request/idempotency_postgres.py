"""Idempotency-Key: the stored answer of a POST is written in the transaction of its effect, and given again."""

from hashlib import sha256

from fastapi import Request, Response
from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert

from fillip.http.errors import Conflict, Invalid
from fillip.manage.store.postgres import Connection
from fillip.manage.store.tables.tenant import idempotency

KEPT_FOR_H = 24
_KEPT_HEADERS = ("content-type", "etag", "location")
_LOCK = text("SELECT pg_try_advisory_xact_lock(hashtextextended(:place, 0))")
_READ = text(
    "SELECT request_hash, status, headers, body FROM idempotency"
    " WHERE tenant_id = :tenant_id AND key = :key AND created_at > now() - make_interval(hours => :hours)"
)


class Replay(Exception):
    """The request was answered before; here is its answer."""

    def __init__(self, response: Response) -> None:
        super().__init__("replayed")
        self.response = response


class InFlight(Conflict):
    """409: a request with the same Idempotency-Key is still running."""

    kind = "idempotency-in-flight"


class KeyReused(Invalid):
    """422: the same Idempotency-Key came with another request."""

    kind = "idempotency-key-reused"


async def claim_answer(connection: Connection, tenant_id: str, key: str, request: Request) -> tuple[str, bytes]:
    """(key, hash of the request) to store the answer under; holds the key until the transaction ends.

    Raises Replay when the answer is stored, KeyReused for another request under the key, InFlight while one is running.
    """
    if not (await connection.execute(_LOCK, {"place": f"{tenant_id}\n{key}"})).scalar_one():
        raise InFlight("a request with this Idempotency-Key is still running: try again in a second")
    address = f"{request.method} {request.url.path}?{request.url.query}\n"
    hashed = sha256(address.encode() + await request.body()).digest()
    row = (await connection.execute(_READ, {"tenant_id": tenant_id, "key": key, "hours": KEPT_FOR_H})).one_or_none()
    if row is None:
        return key, hashed
    if row.request_hash != hashed:
        raise KeyReused("this Idempotency-Key was used for another request: use a new one", at="Idempotency-Key")
    raise Replay(Response(row.body, row.status, row.headers | {"Idempotency-Replayed": "true"}))


async def keep_answer(
    connection: Connection, tenant_id: str, claim: tuple[str, bytes], response: Response, replay: bytes | None
) -> None:
    """Store the answer (with `replay` as its body, where given) in place of one that is too old."""
    row = {
        "tenant_id": tenant_id,
        "key": claim[0],
        "request_hash": claim[1],
        "status": response.status_code,
        "headers": {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers},
        "body": bytes(response.body) if replay is None else replay,
        "created_at": text("now()"),
    }
    statement = insert(idempotency).values(row)
    await connection.execute(statement.on_conflict_do_update(index_elements=["tenant_id", "key"], set_=row))
