"""How far a process is behind the log, partition by partition."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from prometheus_client import Gauge

from fillip.app.health import Health
from fillip.core.errors import Retry
from fillip.http.health import UNREAD
from fillip.stream.kafka import LogEnds, Tail
from fillip.stream.topics import Partition

LAG = Gauge(
    "fillip_stream_lag_records", "Records of the log that this process has not taken yet", ["topic", "partition"]
)


class Lag:
    """Measures, and keeps the metric; partitions that the process does not read (any more) have none."""

    def __init__(self, ends: LogEnds, read_places: Callable[[], Mapping[Partition, int]]) -> None:
        """`read_places`: the offset that comes next, of each partition that is read."""
        self._ends, self._read_places = ends, read_places
        self._shown: set[Partition] = set()

    async def measure(self) -> None:
        """Ask the broker once. Raises Away: what is shown then stays."""
        ends, places = await self._ends.read(), self._read_places()
        for topic, partition in self._shown - places.keys():
            LAG.remove(topic, str(partition))
        self._shown = set(places)
        for place, next_offset in places.items():
            LAG.labels(place[0], str(place[1])).set(max(0, ends.get(place, next_offset) - next_offset))


class Follower:
    """Remembers the tail that is open, of those that a loop opens one after the other."""

    def __init__(self, open_tail: Callable[..., AbstractAsyncContextManager[Tail]]) -> None:
        self._open_tail = open_tail
        self._tail: Tail | None = None

    @asynccontextmanager
    async def open(self, *arguments: object) -> AsyncIterator[Tail]:
        """Open one."""
        async with self._open_tail(*arguments) as tail:
            self._tail = tail
            try:
                yield tail
            finally:
                self._tail = None

    @property
    def places(self) -> Mapping[Partition, int]:
        """The offset that comes next, of each partition; none while no tail is open."""
        return self._tail.places if self._tail else {}

    async def check(self) -> None:
        """Raises Retry while no tail is open."""
        if self._tail is None:
            raise Retry("the topics are not being read")


def watch_topics(health: Health, followers: Sequence[Follower], ends: LogEnds) -> None:
    """A process that reads announcements needs its tails open, and Kafka; of several followers the last one's lag shows."""

    async def check_all() -> None:
        for follower in followers:
            await follower.check()

    def read_places() -> Mapping[Partition, int]:
        everywhere: dict[Partition, int] = {}
        for follower in followers:
            for place, offset in follower.places.items():
                everywhere[place] = min(offset, everywhere.get(place, offset))
        return everywhere

    health.watch("announcements", check_all, UNREAD)
    health.watch("Kafka", Lag(ends, read_places).measure)
