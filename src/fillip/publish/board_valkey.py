"""Leaderboards in Valkey: scores as the ledger has them, read again of each user whom a row of the WAL touches; built whole when one is new or lost.

Values are absolute, and each build writes under an edition of its own, to which the tenant's hash of boards points once it is whole: so nothing
that a former run of the publisher or another publisher left is ever mixed with it. Nobody waits for it; announcing least of all.
"""

import asyncio
import time
from collections.abc import Awaitable, Collection, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, date, datetime
from pathlib import Path
from secrets import token_hex
from typing import Any, Protocol

import structlog
from redis.exceptions import OutOfMemoryError, RedisError

from fillip.core.erasure import is_erased
from fillip.core.errors import Retry
from fillip.core.leaderboard import MOST_MEMBERS, list_windows, write_instant
from fillip.core.local_day import find_day
from fillip.core.projection import BOARD_TENANTS, name_board, name_board_users, name_boards, name_boards_instant
from fillip.publish import metrics
from fillip.publish.board_postgres import Score, Scores
from fillip.publish.boards import Board, Build, Lines
from fillip.publish.client_valkey import close, connect, wait_after
from fillip.publish.touched import Touched
from fillip.stream.pause import Pause

WRITE_EVERY_S = 0.5
LONGEST_PAUSE_S = 60.0
CHECK_EVERY_S = 1.0
PORTION = 500
"""Users a statement and a script call."""
MOST_BUILDS = 4
"""Tenants whose boards are built at once, a portion of each in turn."""
MOST_WAITING = 200_000
"""Users that wait to be read, of all tenants, about 30 MB; beyond, the boards of the tenant with most are built anew."""
CHECKED_AT_ONCE = 100
PARKED_FOR_S = 60.0
"""A tenant about which something fails that waiting does not mend is let be for so long."""
TOLD_FOR_S = 24 * 3600

log = structlog.get_logger()


class ScoreStore(Protocol):
    """The ledger."""

    def open(self) -> AbstractAsyncContextManager[Scores]:
        """It, each statement as it is then. Raises Retry."""


class ValkeyBoards:
    """Takes what the WAL touches by `note`, reads it from the ledger and writes it while `run` runs."""

    def __init__(self, url: str, store: ScoreStore) -> None:
        self._client = connect(url)
        self._store, self._run_id, self._as_of_s = store, token_hex(8), 0.0
        self._boards: dict[str, dict[str, Board]] = {}
        self._builds: dict[str, Build] = {}
        self._lines = Lines(MOST_WAITING)
        self._is_loaded = False
        self._defined: set[str] = set()
        """Tenants whose definitions are to be read."""
        self._unswept: set[str] = set()
        """Tenants of whom something may stand in Valkey that no board is."""
        self._behind: dict[str, float] = {}
        self._parked: dict[str, float] = {}
        self._checked: dict[tuple[str, str], None] = {}
        """Boards by how long ago they were looked at, the longest first."""
        self._write = self._client.register_script(_load_script("write_scores.lua"))

    def note(self, touched: Touched, committed_at_us: int | None) -> None:
        """Take whom rows of the WAL touch, and when the newest of them was committed; None: all that there is was told."""
        self._defined |= {tenant.decode() for tenant in touched.defined}
        for tenant, users in touched.users.items():
            if (tenant_id := tenant.decode()) in self._boards:
                self._lines.note(tenant_id, users)
        self._as_of_s = time.time() if committed_at_us is None else committed_at_us / 1e6

    async def run(self) -> None:
        """Build all boards and keep them up to date until cancelled, whatever happens to Valkey."""
        pause = Pause(WRITE_EVERY_S, LONGEST_PAUSE_S)
        try:
            while True:
                try:
                    async with self._store.open() as scores:
                        await self._keep_up(scores, pause)
                except Exception as error:  # noqa: BLE001 - see wait_after
                    await wait_after(error, pause, failures=metrics.board_failures, waits="leaderboards wait")
        finally:
            await close(self._client)

    async def _keep_up(self, scores: Scores, pause: Pause) -> None:
        check_at = 0.0
        while True:
            now_s = self._as_of_s
            await self._read_definitions(scores)
            for tenant_id in [*self._unswept]:
                await self._sweep(tenant_id)
                self._unswept.discard(tenant_id)
            if time.monotonic() >= check_at:
                await self._find_lost()
                check_at = time.monotonic() + CHECK_EVERY_S
            is_busy = await self._work(scores, now_s)
            await self._settle(now_s)
            pause.reset()
            if not is_busy:
                await asyncio.sleep(WRITE_EVERY_S)

    async def _read_definitions(self, scores: Scores) -> None:
        if not self._is_loaded:
            self._unswept |= {str(tenant_id) for tenant_id in await self._client.smembers(BOARD_TENANTS)}
            await self._load(scores, None)
            self._is_loaded = True
        self._defined |= {tenant_id for tenant_id, until in self._parked.items() if until < time.monotonic()}
        if self._defined:
            tenants = frozenset(self._defined)
            await self._load(scores, tenants)
            self._defined -= tenants

    async def _load(self, scores: Scores, tenants: Collection[str] | None) -> None:
        """The boards of these tenants as they are defined by now, of all where None; those that are new or count otherwise are built."""
        found, building = await scores.list_boards(tenants), list[str]()
        for tenant_id in found if tenants is None else tenants:
            time_zone, defined = found.get(tenant_id, ("", []))
            before, boards = self._boards.pop(tenant_id, {}), dict[str, Board]()
            for each in defined:
                known = before.get(each.leaderboard_id)
                is_same = known is not None and known.defined == each
                boards[each.leaderboard_id] = known if known and is_same else Board(each, time_zone, token_hex(8))
            self._parked.pop(tenant_id, None)
            self._builds.pop(tenant_id, None)
            self._unswept.add(tenant_id)
            if not boards:
                self._lines.of.pop(tenant_id, None)
                continue
            self._boards[tenant_id] = boards  # from here on users are noted
            if any(not board.whole and not board.full for board in boards.values()):
                building.append(tenant_id)
        after_tx = (await scores.see()).next_id
        self._builds |= {tenant_id: Build(after_tx) for tenant_id in building}

    async def _work(self, scores: Scores, now_s: float) -> bool:
        """A portion of each tenant that has any waiting, and of some that are built; whether there is more to do."""
        if not self._lines.of and not self._builds:
            return False
        visibility, is_busy = await scores.see(), False
        for tenant_id, line in [*self._lines.of.items()]:
            line.take(now_s, visibility)
            if users := line.next_users(PORTION):
                if await self._try(tenant_id, self._write_users(scores, tenant_id, users, is_build=False)):
                    line.drop(users)
                is_busy = is_busy or bool(line.taken)
        ready = [tenant_id for tenant_id, build in self._builds.items() if build.may_go_on(visibility)]
        for tenant_id in ready[:MOST_BUILDS]:
            await self._try(tenant_id, self._build_portion(scores, tenant_id))
        return is_busy or bool(ready and self._as_of_s)

    async def _try(self, tenant_id: str, job: Awaitable[None]) -> bool:
        """Whether it was done; where it fails about this tenant, that is let be for a while."""
        try:
            await job
        except Exception as error:
            if isinstance(error, RedisError | OSError | Retry) and not isinstance(error, OutOfMemoryError):
                raise
            metrics.board_failures.inc()
            log.warning("the leaderboards of %s are let be for %.0f s: %s", tenant_id, PARKED_FOR_S, error)
            boards = self._boards.pop(tenant_id, {})
            self._lines.of.pop(tenant_id, None)
            self._builds.pop(tenant_id, None)
            self._parked[tenant_id] = time.monotonic() + PARKED_FOR_S
            self._unswept.add(tenant_id)
            await self._hide(tenant_id, boards)
            return False
        return True

    async def _build_portion(self, scores: Scores, tenant_id: str) -> None:
        build, boards = self._builds[tenant_id], self._boards[tenant_id]
        if users := await scores.list_users(tenant_id, build.after, PORTION):
            await self._write_users(scores, tenant_id, users, is_build=True)
            build.after = users[-1]
        elif self._as_of_s:  # all of them were written
            kept = {name: board for name, board in boards.items() if not board.full}
            state: dict[Any, Any] = {
                f"b:{name}": f"{board.edition} {self._run_id} {board.defined.mark}" for name, board in kept.items()
            }
            if state:
                await self._client.hset(name_boards(tenant_id), mapping=state)
            for board in kept.values():
                board.whole = True
            del self._builds[tenant_id]
            self._unswept.add(tenant_id)
            metrics.board_builds.inc()

    async def _write_users(self, scores: Scores, tenant_id: str, users: Sequence[str], *, is_build: bool) -> None:
        """What these users have by now, into the boards that are being built, or into all of the tenant."""
        owners = await scores.find_owners(tenant_id, users)
        asked = [user_id for user_id in owners if not is_erased(user_id)]
        absent = () if is_build else {*users, *owners}
        for board in [*self._boards[tenant_id].values()]:
            if board.full or (is_build and board.whole):
                continue
            today = find_day(datetime.now(UTC), board.time_zone)
            windows = list_windows(board.defined, today, board.time_zone, spare=1)
            found = await scores.read(tenant_id, board.defined, windows, asked)
            for window, scored in zip(windows, found, strict=True):
                is_moved = scored or (absent and board.counts.get(window.start))
                if is_moved and not await self._write_window(tenant_id, board, window.start, absent, scored):
                    break
            await self._forget_windows(tenant_id, board, {window.start for window in windows})
        metrics.board_users.inc(len(users))

    async def _write_window(
        self, tenant_id: str, board: Board, window: date, users: Iterable[str], scored: Iterable[Score]
    ) -> bool:
        """Whether the board is kept; these users, but for those that have scored, stand there no more."""
        arguments: list[str | bytes | int] = [f"e:{board.edition}", f"n:{board.edition}:{window.isoformat()}"]
        there = {score.user_id: score for score in scored}
        for score in there.values():
            arguments += [score.user_id, write_instant(score.reached_at), score.score]
        for user_id in users:
            if user_id not in there:
                arguments += [user_id, b"", b""]
        names = [name(tenant_id, board.edition, window) for name in (name_board, name_board_users)]
        count = await self._write(keys=[name_boards(tenant_id), *names], args=arguments)
        if count < 0:
            await self._build_anew(tenant_id, board)
            return False
        board.counts[window] = count
        boards = self._boards[tenant_id]
        if sum(sum(each.counts.values()) for each in boards.values()) > MOST_MEMBERS:
            await self._give_up(tenant_id, max(boards.values(), key=lambda each: sum(each.counts.values())))
        return not board.full

    async def _give_up(self, tenant_id: str, board: Board) -> None:
        """Keep nothing of a board that has too many users, and say so."""
        board.full, board.whole, board.counts = True, False, {}
        state = f"full {self._run_id} {board.defined.mark}"
        await self._client.hset(name_boards(tenant_id), f"b:{board.defined.leaderboard_id}", state)
        self._unswept.add(tenant_id)

    async def _build_anew(self, tenant_id: str, *boards: Board) -> None:
        """Begin boards again under other editions; until they are whole nothing is told of them."""
        named = {board.defined.leaderboard_id: Board(board.defined, board.time_zone, token_hex(8)) for board in boards}
        self._boards[tenant_id] |= named
        self._builds[tenant_id] = Build()  # what was told since they were known waits, or was written and is seen
        self._unswept.add(tenant_id)
        await self._hide(tenant_id, named)

    async def _hide(self, tenant_id: str, boards: Iterable[str]) -> None:
        fields = [f"b:{name}" for name in boards]
        if fields:
            await self._client.hdel(name_boards(tenant_id), *fields)

    async def _forget_windows(self, tenant_id: str, board: Board, kept: Collection[date]) -> None:
        for window in [window for window in board.counts if window not in kept]:
            names = [name(tenant_id, board.edition, window) for name in (name_board, name_board_users)]
            await self._client.hdel(name_boards(tenant_id), f"n:{board.edition}:{window.isoformat()}")
            await self._client.unlink(*names)
            del board.counts[window]

    async def _sweep(self, tenant_id: str) -> None:
        """Write which editions this run has of a tenant, and remove what no board is; what a former run left stands until it is replaced."""
        state: dict[Any, Any] = await self._client.hgetall(name_boards(tenant_id))
        boards = self._boards.get(tenant_id, {})
        kept, over = {board.edition for board in boards.values() if not board.full}, list[str]()
        for field, value in state.items():
            if field.startswith("b:"):
                (edition, _, mark), board = value.split(" ", 2), boards.get(field[2:])
                if board is None or mark != board.defined.mark or (board.whole and edition != board.edition):
                    over.append(field)
                else:
                    kept.add(edition)
        fields = [field.split(":") for field in state if field[:2] in ("e:", "n:")]
        names = list[str]()
        for kind, edition, *window in fields:
            if edition not in kept:
                over.append(":".join([kind, edition, *window]))
                day = [date.fromisoformat(each) for each in window]
                names += [name(tenant_id, edition, each) for each in day for name in (name_board, name_board_users)]
        if names:
            await self._client.unlink(*names)
        if over:
            await self._client.hdel(name_boards(tenant_id), *over)
        if boards:
            await self._client.sadd(BOARD_TENANTS, tenant_id)
            for board in boards.values():
                if not board.begun and not board.full:
                    await self._client.hset(name_boards(tenant_id), f"e:{board.edition}", self._run_id)
                    board.begun = True
        else:
            await self._client.hdel(name_boards(tenant_id), "behind")
            await self._client.srem(BOARD_TENANTS, tenant_id)

    async def _find_lost(self) -> None:
        """Boards of which something is gone, as after FLUSHALL or where Valkey was full, are built anew: some are looked at each time."""
        whole = {(t, name): None for t, boards in self._boards.items() for name, board in boards.items() if board.whole}
        self._checked = {key: None for key in self._checked if key in whole} | whole
        for tenant_id, name in [*self._checked][:CHECKED_AT_ONCE]:
            del self._checked[tenant_id, name]
            self._checked[tenant_id, name] = None  # behind those that were not looked at for longer
            board, hash_name = self._boards[tenant_id][name], name_boards(tenant_id)
            windows = [*board.counts]
            async with self._client.pipeline(transaction=False) as pipeline:
                pipeline.hget(hash_name, f"b:{name}")
                pipeline.hexists(hash_name, f"e:{board.edition}")
                for window in windows:
                    pipeline.hget(hash_name, f"n:{board.edition}:{window.isoformat()}")
                    pipeline.zcard(name_board(tenant_id, board.edition, window))
                    pipeline.hlen(name_board_users(tenant_id, board.edition, window))
                state, is_known, *counts = await pipeline.execute()
            sizes = [int(each or 0) for each in counts]
            is_there = is_known and state == f"{board.edition} {self._run_id} {board.defined.mark}"
            if not is_there or any(len({*sizes[at : at + 3]}) > 1 for at in range(0, len(sizes), 3)):
                await self._build_anew(tenant_id, board)

    async def _settle(self, now_s: float) -> None:
        """Say until when all is counted: in general, and of the tenants that are behind."""
        while self._lines.overrun:
            tenant_id = self._lines.overrun.pop()
            if boards := self._boards.get(tenant_id):
                await self._build_anew(tenant_id, *boards.values())
        if not now_s:
            return
        behind, before = self._lines.settle(now_s), self._behind
        self._behind = before | behind
        async with self._client.pipeline(transaction=False) as pipeline:
            for tenant_id, as_of_s in behind.items():
                pipeline.hset(name_boards(tenant_id), "behind", f"{as_of_s:.6f}")
            for tenant_id in before.keys() - behind.keys():
                pipeline.hdel(name_boards(tenant_id), "behind")
            pipeline.set(name_boards_instant(self._run_id), f"{now_s:.6f}", ex=TOLD_FOR_S)
            await pipeline.execute()
        self._behind = behind


def _load_script(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")
