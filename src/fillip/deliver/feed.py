"""From the announcements to the sessions of the users they are for."""

import asyncio
from collections import Counter as Tally
from collections import OrderedDict, defaultdict
from collections.abc import Sequence

import msgspec
import structlog
from prometheus_client import Counter, Gauge

from fillip.deliver.frames import Closed, read_announcement, read_progress
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

    def __init__(self, open_tail: OpenTail, progressed: str) -> None:
        """`progressed` is the topic of the tail that announces quest progress; the others announce inbox entries."""
        self._open_tail = open_tail
        self._progressed = progressed
        self._sessions: defaultdict[bytes, list[Session]] = defaultdict(list)
        self._by_tenant: Tally[str] = Tally()
        self._recent, self._recent_progress = Recent(), Recent()
        self.live = False
        self.count = 0

    def join(self, session: Session) -> None:
        """Subscribe a session, then let it replay; raises Closed (429) when its user or tenant has too many."""
        key = session.user.key
        mates = self._sessions[key]
        if len(mates) >= SESSIONS_A_USER:
            raise Closed("too-many-sessions", 429, f"this user already has {SESSIONS_A_USER} connections: close one")
        tenant_id = session.user.tenant_id
        if self._by_tenant[tenant_id] >= session.sockets:
            if not mates:
                del self._sessions[key]
            raise Closed(
                "quota-exceeded", 429, f"the tenant has all of its {session.sockets:,} connections here in use"
            )
        self._by_tenant[tenant_id] += 1
        mates.append(session)
        self._count(1)
        # Announced just now, and perhaps not yet visible to those who read the ledger.
        if value := self._recent.get(key):
            self._push(key, value)
        if value := self._recent_progress.get(key):
            self._show(key, value)

    def leave(self, session: Session) -> None:
        """Unsubscribe a session that has joined."""
        mates = self._sessions[session.user.key]
        mates.remove(session)
        self._by_tenant[session.user.tenant_id] -= 1
        if not self._by_tenant[session.user.tenant_id]:
            del self._by_tenant[session.user.tenant_id]
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
                session.begin()

    async def _push_all(self, records: Sequence[Record]) -> None:
        records = sorted(records, key=self._is_progress)  # incentives first, otherwise as they came
        for start in range(0, len(records), RECORDS_A_TURN):
            for record in records[start : start + RECORDS_A_TURN]:
                if record.key and record.value:
                    self._take(record.key, record.value, of_progress=self._is_progress(record))
            if start + RECORDS_A_TURN < len(records):
                await asyncio.sleep(0)  # let the sockets breathe
        RECORDS.inc(len(records))

    def _is_progress(self, record: Record) -> bool:
        return record.topic == self._progressed

    def _take(self, key: bytes, value: bytes, *, of_progress: bool) -> None:
        """Nothing is decoded unless someone listens."""
        recent, push = (self._recent_progress, self._show) if of_progress else (self._recent, self._push)
        recent.keep(key, value)
        if key in self._sessions:
            push(key, value)

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

    def _show(self, key: bytes, value: bytes) -> None:
        try:
            progress = read_progress(value)
        except msgspec.DecodeError as error:
            log.error("progress can't be read, its user catches up from the ledger", error=str(error))
            for session in self._sessions[key]:
                session.progress.catch_up()
            return
        for session in self._sessions[key]:
            session.progress.show(progress)

    def _count(self, change: int) -> None:
        self.count += change
        SESSIONS.set(self.count)


class Recent:
    """The newest value of each of the users that were told of last."""

    def __init__(self) -> None:
        self._values: OrderedDict[bytes, bytes] = OrderedDict()

    def keep(self, key: bytes, value: bytes) -> None:
        """`value` is the user's newest."""
        self._values[key] = value
        self._values.move_to_end(key)
        if len(self._values) > RECENT_USERS:
            self._values.popitem(last=False)

    def get(self, key: bytes) -> bytes | None:
        """The user's newest; None where it is no longer known."""
        return self._values.get(key)
