"""The names of the topics."""

from typing import TypeAlias

from msgspec import Struct

Partition: TypeAlias = tuple[str, int]
"""(topic, number)."""


class Topics(Struct, frozen=True):
    """Every topic's name; `prefix` keeps several installations on one broker apart."""

    prefix: str = ""

    @property
    def received(self) -> str:
        """Events as they came, keyed `tenant:user`."""
        return f"{self.prefix}event.received"

    @property
    def rejected(self) -> str:
        """Announcements of events that could not be decided."""
        return f"{self.prefix}event.rejected"

    @property
    def generated(self) -> str:
        """Announcements of incentives."""
        return f"{self.prefix}incentive.generated"

    @property
    def reversed(self) -> str:
        """Announcements of incentives taken back, in full or in part."""
        return f"{self.prefix}incentive.reversed"

    @property
    def expired(self) -> str:
        """Announcements of incentives that expired."""
        return f"{self.prefix}incentive.expired"

    @property
    def incentives(self) -> str:
        """Announcements of granted incentives as they stand after each change, such as a claim."""
        return f"{self.prefix}incentive.changed"

    @property
    def acked(self) -> str:
        """Announcements of inbox entries that the user's client has acked: the incentive is delivered."""
        return f"{self.prefix}inbox.acked"

    @property
    def moved(self) -> str:
        """Announcements of transfers of points."""
        return f"{self.prefix}wallet.moved"

    @property
    def drawn(self) -> str:
        """Announcements of what lots gave later for a transfer of points that draws on many."""
        return f"{self.prefix}wallet.drawn"

    @property
    def used(self) -> str:
        """Announcements of counters of limits as they stand."""
        return f"{self.prefix}limit.used"

    @property
    def told(self) -> list[str]:
        """The topics that users are told from: each record is one inbox entry."""
        return [self.generated, self.reversed, self.expired]

    @property
    def pushed(self) -> list[str]:
        """The topics that the gateway pushes to phones from."""
        return [*self.told, self.progressed, self.levels, self.unannounced]

    @property
    def loaded(self) -> list[str]:
        """The topics that reports are loaded from."""
        told = [self.decided, self.rejected, self.generated, self.reversed, self.moved, self.progressed]
        return [self.received, *told, self.incentives, self.acked, self.changed, self.used, self.drawn, self.levels]

    @property
    def brief(self) -> list[str]:
        """The topics that tell of now: who comes later asks PostgreSQL, and needs none of their old records."""
        return [self.users, self.heartbeat]

    @property
    def decided(self) -> str:
        """Announcements of decisions, granted or denied."""
        return f"{self.prefix}decision.made"

    @property
    def progressed(self) -> str:
        """Announcements of quest progress."""
        return f"{self.prefix}quest.progressed"

    @property
    def levels(self) -> str:
        """Announcements of changes of users' levels."""
        return f"{self.prefix}level.changed"

    @property
    def changed(self) -> str:
        """Announcements of changes of the book, keyed by tenant."""
        return f"{self.prefix}book.changed"

    @property
    def users(self) -> str:
        """Announcements of users as they stand, in one order for all."""
        return f"{self.prefix}user.changed"

    @property
    def schemas(self) -> str:
        """What the announcements of each table look like, keyed by table; the newest is kept for good."""
        return f"{self.prefix}wal.schema"

    @property
    def heartbeat(self) -> str:
        """Up to which offsets of the announcements everything is told that was committed before a place of the WAL."""
        return f"{self.prefix}wal.heartbeat"

    @property
    def unannounced(self) -> str:
        """Rows that could not be announced, as they are stored, keyed as their announcement would have been."""
        return f"{self.prefix}row.unannounced"

    def count_partitions(self, wide: int) -> dict[str, int]:
        """Partitions by topic: `wide` where many users write, else 1."""
        ledger = (self.decided, self.progressed, self.incentives, self.acked, self.moved, self.used, self.levels)
        many = (self.received, *self.told, *ledger)
        single = (self.rejected, self.drawn, self.changed, self.unannounced, self.schemas, *self.brief)
        return dict.fromkeys(many, wide) | dict.fromkeys(single, 1)
