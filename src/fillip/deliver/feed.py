"""From the announcements to the sessions of the users they are for."""

import asyncio
from collections import OrderedDict, defaultdict
from collections.abc import Sequence

import msgspec
import structlog
from prometheus_client import Counter, Gauge

from fillip.deliver.frames import Closed, read_announcement
from fillip.deliver.session import Session
from fillip.deliver.tail import OpenTail
from fillip.stream.belt import Record

SESSIONS_A_USER = 10
RECENT_USERS = 2_000
RECORDS_A_TURN = 200
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0
SESSIONS = Gauge("fillip_deliver_sessions", "Authenticated connections")
RECORDS = Counter("fillip_deliver_records_total", "Announcements seen")
BREAKS = Counter("fillip_deliver_tail_breaks_total", "Times the tail of announcements had to be opened again")
log = structlog.get_logger()


class Feed:
    """The sessions by user, and the loop that feeds them. `live` tells whether the tail is open."""

    def __init__(self, open_tail: OpenTail) -> None:
        self._open_tail = open_tail
        self._sessions: defaultdict[bytes, list[Session]] = defaultdict(list)
        self._recent: OrderedDict[bytes, bytes] = OrderedDict()
        self.live = False
        self.count = 0

    def join(self, session: Session) -> None:
        """Subscribe a session, then let it replay; raises Closed (429) when its user has too many."""
        key = session.user.key
        mates = self._sessions[key]
        if len(mates) >= SESSIONS_A_USER:
            raise Closed("too-many-sessions", 429, f"this user already has {SESSIONS_A_USER} connections: close one")
        mates.append(session)
        self._count(1)
        if key in self._recent:  # announced just now, and perhaps not yet visible to the replay
            self._push(key, self._recent[key])

    def leave(self, session: Session) -> None:
        """Unsubscribe a session that has joined."""
        mates = self._sessions[session.user.key]
        mates.remove(session)
        if not mates:
            del self._sessions[session.user.key]
        self._count(-1)

    async def run(self) -> None:
        """Feed until cancelled. Where the tail breaks, open it again and let every session catch up from its inbox."""
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                async with self._open_tail() as tail:
                    self._begin()
                    pause_s = FIRST_PAUSE_S
                    async for records in tail:
                        await self._push_all(records)
            except Exception as error:  # noqa: BLE001 - whatever broke the tail, sessions stay and are fed again
                log.warning("tail of announcements broke, opening it again", error=str(error), pause_s=pause_s)
            self.live = False
            BREAKS.inc()
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _begin(self) -> None:
        self.live = True
        for mates in self._sessions.values():
            for session in mates:
                session.catch_up()

    async def _push_all(self, records: Sequence[Record]) -> None:
        for start in range(0, len(records), RECORDS_A_TURN):
            for record in records[start : start + RECORDS_A_TURN]:
                if record.key and record.value:
                    self._remember(record.key, record.value)
                    if record.key in self._sessions:
                        self._push(record.key, record.value)
            if start + RECORDS_A_TURN < len(records):
                await asyncio.sleep(0)  # let the sockets breathe
        RECORDS.inc(len(records))

    def _push(self, key: bytes, value: bytes) -> None:
        try:
            live = read_announcement(value)
        except msgspec.DecodeError as error:
            log.error("announcement can't be read, its user catches up from the inbox", error=str(error))
            for session in self._sessions[key]:
                session.catch_up()
            return
        for session in self._sessions[key]:
            session.push(live)

    def _remember(self, key: bytes, value: bytes) -> None:
        self._recent[key] = value
        self._recent.move_to_end(key)
        if len(self._recent) > RECENT_USERS:
            self._recent.popitem(last=False)

    def _count(self, change: int) -> None:
        self.count += change
        SESSIONS.set(self.count)
