"""Who stands where on a leaderboard, as the publisher wrote it."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from fillip.core.errors import Retry
from fillip.core.leaderboard import MOST_MEMBERS, BoardWindow, Leaderboard, RankedUser, Ranks, TooManyUsers, read_member
from fillip.core.projection import name_board, name_board_users, name_boards, name_boards_instant

ATTEMPTS = 3
"""A board may be built anew while it is read."""


class ValkeyRanks:
    """BoardRanks."""

    def __init__(self, client: Redis) -> None:
        """`client` has a short time-out."""
        self._client = client
        self._read = client.register_script(Path(__file__).with_name("read_ranks.lua").read_text(encoding="utf-8"))

    async def read_top(self, tenant_id: str, board: Leaderboard, window: BoardWindow, first: int, most: int) -> Ranks:
        """See BoardRanks."""
        return await self._find(tenant_id, board, window, [first, most])

    async def read_around(
        self, tenant_id: str, board: Leaderboard, window: BoardWindow, user_id: str, most: int
    ) -> Ranks:
        """See BoardRanks."""
        return await self._find(tenant_id, board, window, [0, most, user_id])

    async def _find(self, tenant_id: str, board: Leaderboard, window: BoardWindow, asked: list[str | int]) -> Ranks:
        try:
            for _ in range(ATTEMPTS):
                if (found := await self._try(tenant_id, board, window, asked)) is not None:
                    return found
        except (RedisError, OSError) as error:
            raise Retry(f"Valkey is away, where the leaderboards are: try again soon ({error})") from error
        raise Retry("the leaderboard is being built: try again soon")

    async def _try(
        self, tenant_id: str, board: Leaderboard, window: BoardWindow, asked: list[str | int]
    ) -> Ranks | None:
        hash_name, field = name_boards(tenant_id), f"b:{board.leaderboard_id}"
        state: Any = await self._client.hget(hash_name, field)
        edition, run_id, mark = state.decode().split(" ", 2) if state else ("", "", "")
        if mark != board.mark:
            return None
        if edition == "full":
            raise TooManyUsers(
                f"leaderboard {board.leaderboard_id} is not kept: the tenant's leaderboards would have more than {MOST_MEMBERS:,} users in all"
                " their windows, and this one most of them; let it count for a shorter span, or one campaign alone, or delete another"
            )
        told: Any = await self._client.get(name_boards_instant(run_id))  # before, so that it is never too new
        names = [name(tenant_id, edition, window.start) for name in (name_board, name_board_users)]
        count_field = f"n:{edition}:{window.start.isoformat()}"
        found: Any = await self._read(
            keys=[hash_name, *names], args=[field, state, f"e:{edition}", count_field, *asked]
        )
        if told is None or found == -1:
            return None
        users, behind, first, members = found
        as_of_s = min(float(told), float(behind or told))
        ranked = []
        for rank, at in enumerate(range(0, len(members), 2), first + 1):
            user_id, reached_at = read_member(members[at])
            ranked.append(RankedUser(rank, user_id, -int(members[at + 1]), reached_at))
        return Ranks(datetime.fromtimestamp(as_of_s, UTC), users, ranked)
