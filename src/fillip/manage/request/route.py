"""One request = one tenant's transaction: authenticated first, committed before the answer leaves, and in force.

A route asks for a `UnitOfWork` (Reading, Writing, Posting): its caller's scope is checked, its transaction is open, and it
sees the caller's tenant alone. An error rolls everything back. A POST with an Idempotency-Key stores its answer in the
same transaction, so the effect and the stored answer are there together or not at all.

While something is computed that takes long no transaction is open: a route that writes may be run several times, and must do
nothing that can't be rolled back before it has computed (see Computed).
"""

import asyncio
from asyncio import Semaphore, Task
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from hmac import compare_digest
from typing import Annotated, Any, Concatenate, ParamSpec, TypeVar, cast

from fastapi import Depends, Header, Request, Response, params
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer

from fillip.core.errors import Crash
from fillip.core.ports import (
    BoardRanks,
    Caller,
    CampaignBook,
    EventLog,
    HotCampaigns,
    KeyRing,
    LiveCounts,
    MeetEvent,
    Rates,
    ReceivedEvents,
    RefusedEvents,
    SeenCounts,
    UserQueries,
)
from fillip.http.address import check_parameters, read_segment
from fillip.http.bearer import authenticate, check_scope, read_bearer, take_request
from fillip.http.body import JsonRequest
from fillip.http.errors import Forbidden
from fillip.manage.book.in_force import tell_force
from fillip.manage.book.postgres import take_change
from fillip.manage.request.aside import Aside
from fillip.manage.request.computed import HOLD_S, Anew, Computed, Question
from fillip.manage.request.idempotency_postgres import Replay, claim_answer, keep_answer
from fillip.manage.store.postgres import Connection, Engine, enter_tenant, reach

MAX_UPLOADS = 2
"""Uploads that are written at once: each has a connection of its own."""
MAX_COMING = 8
"""Uploads that come in at once: each stands on the disk until it is written."""
_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")
_Part = TypeVar("_Part")

_bearer = HTTPBearer(auto_error=False, scheme_name="ApiKey", description="`Authorization: Bearer fk_live_…`")
_operator_bearer = HTTPBearer(auto_error=False, scheme_name="OperatorKey", description="The operator's key")


@dataclass(frozen=True)
class AppState:
    """What the routes stand on: role fillip_api's engine, the owner's (for the operator), keys, the gateway's URL, and
    the log that reversals go into; `coming` is held by each upload that comes in and `uploads` by each that is being
    written, in `builds` are those that nobody waits for, `aside` is where what takes long is computed, `rates` says how
    fast tenants may send (None: as they like), `hot` which campaigns are hot, `live` what they
    decide hour by hour (None: nobody counts), `user_queries` whom a tenant's queries select (None: nobody knows), `seen` how many events campaigns have seen
    (None: nobody knows), `received` what came into the log and `refused` what the door refused (None: nobody knows). `books` are in force, and
    `meet` is how the worker matches an event with one (None: nobody can). `ranks` tells who stands where on leaderboards (None: nobody knows).
    """

    engine: Engine
    owner: Engine
    keys: KeyRing
    operator_key: str
    gateway_url: str
    event_log: EventLog | None
    rates: Rates | None = None
    hot: HotCampaigns | None = None
    live: LiveCounts | None = None
    user_queries: UserQueries | None = None
    seen: SeenCounts | None = None
    received: ReceivedEvents | None = None
    refused: RefusedEvents | None = None
    books: CampaignBook | None = None
    meet: MeetEvent | None = None
    ranks: BoardRanks | None = None
    coming: Semaphore = field(default_factory=lambda: Semaphore(MAX_COMING))
    builds: set[Task[object]] = field(default_factory=set)
    uploads: Semaphore = field(default_factory=lambda: Semaphore(MAX_UPLOADS))
    aside: Aside = field(default_factory=Aside)


class UnitOfWork:
    """The transaction of one request, opened when a route first asks for it.

    `replay` may be set to another body for the stored answer of an idempotent POST: without the secret it shows once.
    `changed` is the version that a committed request has made of the tenant's book; `when_in_force` may be set to what its answer's
    body becomes once all who decide have it.
    """

    caller: Caller

    def __init__(self, aside: Aside, computed: Computed) -> None:
        """`computed` is what the request computed in earlier attempts."""
        self._aside, self._computed = aside, computed
        self._reopen: Callable[[], Coroutine[Any, Any, None]] | None = None
        self._connection: Connection | None = None
        self.idempotency: tuple[str, bytes] | None = None
        self.replay: bytes | None = None
        self.changed: int | None = None
        self.when_in_force: Callable[[bytes], bytes] | None = None

    @property
    def began_at(self) -> datetime:
        """When the first transaction of the request began, by PostgreSQL's clock: what is computed by the time of a request takes this."""
        if self._computed.began_at is None:
            raise Crash("a route asked when its UnitOfWork began without opening it")
        return self._computed.began_at

    @property
    def connection(self) -> Connection:
        """The connection, inside its transaction."""
        if self._connection is None:
            raise Crash("a route used its UnitOfWork without asking for one that is open")
        return self._connection

    async def compute(
        self, function: Callable[_Given, _Result], *given: _Given.args, **named: _Given.kwargs
    ) -> _Result:
        """What the function returns or raises, computed beside the event loop: see Aside, and Computed.

        It is pure, and what it is given can be compared, where the route writes. `connection` may be another one afterwards.
        """
        run = partial(self._aside.run, self.caller.tenant_id, function, *given, **named)
        question = (function, given, *sorted(named.items()))
        return cast(_Result, await self._await(question, run))

    async def compute_each(
        self,
        function: Callable[Concatenate[_Part, _Given], _Result],
        parts: Sequence[_Part],
        *given: _Given.args,
        **named: _Given.kwargs,
    ) -> list[_Result]:
        """What the function returns for each of the parts, between which other tenants have their turns. The rest as `compute`."""

        async def run() -> list[_Result]:
            asked = (partial(function, part, *given, **named) for part in parts)
            return [await self._aside.run(self.caller.tenant_id, each) for each in asked]

        question = (function, parts, given, *sorted(named.items()))
        return cast("list[_Result]", await self._await(question, run))

    async def _await(self, question: Question, run: Callable[[], Coroutine[Any, Any, object]]) -> object:
        task = self._computed.find(question) or asyncio.create_task(run())
        try:
            await asyncio.wait([task], timeout=None if self._connection is None else HOLD_S)
            if not task.done():
                await self.close()
                await asyncio.wait([task])
                if self._reopen is None:
                    self._computed.keep(question, task)
                    raise Anew
                await self._reopen()
            return task.result()
        finally:
            task.cancel()  # where the client is gone

    async def open(self, engine: Engine, caller: Caller, *, writes: bool = False) -> None:
        """Begin as `caller`; raises Retry. A route that `writes` is run anew where it computes for long."""
        connection = engine.connect()
        await reach(connection.start())
        self._connection, self.caller = connection, caller
        self._reopen = None if writes else partial(self.open, engine, caller)
        take_change(connection)  # of a transaction that was rolled back
        began_at = await enter_tenant(connection, caller.tenant_id)
        self._computed.began_at = self._computed.began_at or began_at

    async def commit(self, response: Response) -> None:
        """Keep everything, and the answer where it is idempotent; raises Retry."""
        if self._connection is None:
            return
        if self.idempotency is not None:
            await keep_answer(self._connection, self.caller.tenant_id, self.idempotency, response, self.replay)
        changed = take_change(self._connection)
        await reach(self._connection.commit())
        self.changed = changed

    async def save(self) -> None:
        """Keep what was done so far, and go on in a transaction of its own; raises Retry.

        For work in portions that is right after each of them, and goes on where it stopped when it is asked for again.
        """
        await reach(self.connection.commit())
        await enter_tenant(self.connection, self.caller.tenant_id)

    async def close(self) -> None:
        """Give the connection back; what was not committed is rolled back."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await connection.close()


class Route(APIRoute):
    """A route that authenticates before it reads the body, and commits after its function has returned.

    What its function does not read is refused: a parameter, and a body where it takes none.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's hook for what runs a request."""
        run = super().get_route_handler()
        reads_json = self.body_field is not None
        reads_bytes = "requestBody" in (self.openapi_extra or {})
        parameters = set(_list_parameters(self.dependant))

        async def serve(request: Request) -> Response:
            app_state, key = find_app_state(request), read_bearer(request.headers)
            is_operator = compare_digest(key.encode(), app_state.operator_key.encode())
            request.state.caller = caller = None if is_operator else await authenticate(app_state.keys, key)
            room = {}
            if caller is not None and app_state.rates is not None:
                room = await take_request(app_state.rates, caller)
            segments = request.scope["path_params"].items()
            request.scope["path_params"] = {name: read_segment(segment) for name, segment in segments}
            check_parameters(request.scope["query_string"], parameters)
            taken = JsonRequest(request.scope, request.receive)
            if reads_json:
                await taken.read_json()
            elif not reads_bytes:
                await taken.refuse_body()
            try:
                work, response = await _run_whole(run, taken, app_state.aside)
            except Replay as replay:
                replay.response.headers.update(room)
                return replay.response
            if work.changed is not None:
                is_in_force = await tell_force(app_state.engine, work.caller, work.changed, response)
                if is_in_force and work.when_in_force:
                    response.body = await work.compute(work.when_in_force, bytes(response.body))
                    response.headers["Content-Length"] = str(len(response.body))
            response.headers.update(room)
            return response

        return serve


async def _run_whole(
    run: Callable[[Request], Coroutine[Any, Any, Response]], request: Request, aside: Aside
) -> tuple[UnitOfWork, Response]:
    """Run a route until it goes through with what it computes, and commit."""
    computed = Computed()
    while True:
        request.state.work = work = UnitOfWork(aside, computed)
        try:
            response = await run(request)
            await work.commit(response)
            return work, response
        except Anew:
            continue
        finally:
            await work.close()


def find_app_state(request: Request) -> AppState:
    """What the app that serves this request stands on."""
    app_state: AppState = request.app.state.app_state
    return app_state


def find_unit_of_work(request: Request) -> UnitOfWork:
    """The transaction of this request."""
    work: UnitOfWork = request.state.work
    return work


def _list_parameters(dependant: Dependant) -> Iterator[str]:
    """The parameters that a function reads, and all that it depends on."""
    yield from (field.alias for field in dependant.query_params)
    for below in dependant.dependencies:
        yield from _list_parameters(below)


def _require_caller(request: Request, scope: str) -> Caller:
    caller: Caller | None = request.state.caller
    if caller is None:
        raise Forbidden("the operator's key opens /v1/tenants only: use an API key of the tenant")
    check_scope(caller, scope)
    return caller


def require(scope: str) -> params.Depends:
    """A dependency: the Caller, who has `scope`; no transaction is opened."""

    async def check(request: Request, _: Annotated[object, Depends(_bearer)]) -> Caller:
        return _require_caller(request, scope)

    return params.Depends(check)


def begin(scope: str, *, writes: bool = True) -> params.Depends:
    """A dependency: a UnitOfWork of a caller who has `scope`, of a route that `writes` or only reads."""

    async def open_work(request: Request, _: Annotated[object, Depends(_bearer)]) -> UnitOfWork:
        work = find_unit_of_work(request)
        await work.open(find_app_state(request).engine, _require_caller(request, scope), writes=writes)
        return work

    return params.Depends(open_work)


def begin_once(scope: str) -> params.Depends:
    """As `begin`, for POST: with an Idempotency-Key the effect happens once, and its answer is given again for 24 h."""
    opened = begin(scope)

    async def claim(
        request: Request,
        work: Annotated[UnitOfWork, opened],
        idempotency_key: Annotated[
            str | None,
            Header(
                min_length=1,
                max_length=255,
                description="Yours, of this request: sent again with it within 24 hours, it happens once and gets the same answer",
                examples=["b7c1-retry"],
            ),
        ] = None,
    ) -> UnitOfWork:
        if idempotency_key is not None:
            work.idempotency = await claim_answer(work.connection, work.caller.tenant_id, idempotency_key, request)
        return work

    return params.Depends(claim)


async def _require_operator(request: Request, _: Annotated[object, Depends(_operator_bearer)]) -> Engine:
    if request.state.caller is not None:
        raise Forbidden("this needs the operator's key (FILLIP_OPERATOR_KEY)")
    return find_app_state(request).owner


Operator = Annotated[Engine, Depends(_require_operator)]
Reading = Annotated[UnitOfWork, begin("manage:read", writes=False)]
Writing = Annotated[UnitOfWork, begin("manage:write")]
Posting = Annotated[UnitOfWork, begin_once("manage:write")]
