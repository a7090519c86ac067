"""From the announcements to the sessions of the users they are for."""

import asyncio
from collections import Counter as Tally
from collections import OrderedDict, defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from itertools import chain

import structlog
from prometheus_client import Counter, Gauge

from fillip.deliver.frames import Closed, is_shortened, read_announcement, read_level, read_progress
from fillip.deliver.inbox import User
from fillip.deliver.session import Session
from fillip.stream.belt import Record
from fillip.stream.pause import Pause
from fillip.stream.topics import Topics

OpenTail = Callable[[], AbstractAsyncContextManager[AsyncIterator[Sequence[Record]]]]
"""Opens the tail of the topics from their end; once it is entered, nothing produced later is missed."""

SESSIONS_A_USER = 10
RECENT_USERS = 2_000
RECORDS_A_TURN = 200
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0
SESSIONS = Gauge("fillip_deliver_sessions", "Authenticated connections")
RECORDS = Counter("fillip_deliver_records_total", "Announcements seen")
BREAKS = Counter("fillip_deliver_tail_breaks_total", "Times the tail of announcements had to be opened again")
SET_ASIDE = Counter(
    "fillip_deliver_set_aside_total",
    "Announcements that could not be taken, by topic: an alarm at the first",
    ["topic"],
)
log = structlog.get_logger()


class Feed:
    """The sessions by user, and the loop that feeds them. `live` tells whether the tail is open."""

    def __init__(self, open_tail: OpenTail, topics: Topics) -> None:
        """Of the topics of the tail some announce states, and one tells of rows that could not be announced, whose users look
        into the ledger; the others announce inbox entries.
        """
        self._open_tail = open_tail
        self._progressed, self._levels, self._unannounced = topics.progressed, topics.levels, topics.unannounced
        self._sessions: defaultdict[bytes, list[Session]] = defaultdict(list)
        self._by_tenant: Tally[str] = Tally()
        self._recent = NewestByUser()
        self._recent_states = {self._progressed: NewestByUser(), self._levels: NewestByUser()}
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
            message = f"the tenant has all of its {session.sockets:,} connections here in use"
            raise Closed("quota-exceeded", 429, message)
        self._by_tenant[tenant_id] += 1
        mates.append(session)
        self._count(1)
        # Announced just now, and perhaps not yet visible to those who read the ledger.
        for recent in (self._recent, *self._recent_states.values()):
            if record := recent.get(key):
                self._hand_out(record, [session])

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

    def leave_merged(self, users: Iterable[User]) -> None:
        """Close the sessions of users who are others by now: nothing is told under their ids any more."""
        closed = Closed(
            "user-merged", 410, "this user is another by now: ask for a new ticket, and say hello without a cursor"
        )
        for user in users:
            for session in self._sessions.get(user.key, ()):
                session.send_away(closed)

    async def run(self) -> None:
        """Feed until cancelled. Where the tail breaks, open it again and let every session catch up from its inbox."""
        pause = Pause(FIRST_PAUSE_S, LONGEST_PAUSE_S)
        while True:
            try:
                async with self._open_tail() as tail:
                    self.live = True
                    for session in chain.from_iterable(self._sessions.values()):
                        session.begin()
                    pause.reset()
                    async for records in tail:
                        await self._push_all(records)
            except Exception as error:  # noqa: BLE001 - whatever broke the tail, sessions stay and are fed again
                log.warning("tail of announcements broke, opening it again", error=str(error), pause_s=pause.next_s)
            self.live = False
            BREAKS.inc()
            await pause.take()

    async def _push_all(self, records: Sequence[Record]) -> None:
        records = sorted(records, key=self._is_state)  # incentives first, otherwise as they came
        for start in range(0, len(records), RECORDS_A_TURN):
            for record in records[start : start + RECORDS_A_TURN]:
                if record.key and record.value:
                    self._take(record, record.key)
            if start + RECORDS_A_TURN < len(records):
                await asyncio.sleep(0)  # let the sockets breathe
        RECORDS.inc(len(records))

    def _is_state(self, record: Record) -> bool:
        return record.topic in self._recent_states

    def _take(self, record: Record, key: bytes) -> None:
        """Nothing is decoded unless someone listens."""
        self._recent_states.get(record.topic, self._recent).keep(key, record)
        if key in self._sessions:
            self._hand_out(record, self._sessions[key])

    def _hand_out(self, record: Record, sessions: Sequence[Session]) -> None:
        """Whatever is wrong with a record, its user gets all that is stored, and nobody else notices."""
        value = record.value or b""
        try:
            if record.topic == self._unannounced:
                for session in sessions:
                    session.begin()
            elif self._is_state(record):
                if state := read_progress(value) if record.topic == self._progressed else read_level(value):
                    for session in sessions:
                        session.progress.show(state)
            else:
                live = read_announcement(value)
                for session in sessions:
                    session.push(live)
        except Exception as error:  # noqa: BLE001 - foreseen or not
            self._set_aside(record, error)
            for session in sessions:
                session.begin()

    def _set_aside(self, record: Record, error: Exception) -> None:
        with suppress(Exception):
            if is_shortened(record.value or b""):
                return  # too large to be announced whole: no fault
        place = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
        log.error(
            "announcement set aside, its user reads the ledger", error=f"{type(error).__name__}: {error}", **place
        )
        SET_ASIDE.labels(record.topic).inc()

    def _count(self, change: int) -> None:
        self.count += change
        SESSIONS.set(self.count)


class NewestByUser:
    """The newest record of each of the users that were told of last."""

    def __init__(self) -> None:
        self._values: OrderedDict[bytes, Record] = OrderedDict()

    def keep(self, key: bytes, record: Record) -> None:
        """`record` is the user's newest."""
        self._values[key] = record
        self._values.move_to_end(key)
        if len(self._values) > RECENT_USERS:
            self._values.popitem(last=False)

    def get(self, key: bytes) -> Record | None:
        """The user's newest; None where it is no longer known."""
        return self._values.get(key)
