"""The order of one connection's inbox entries, apart from sockets and tasks: each once, and none left out.

behind --a page is asked for--> reading --it was the last, and nothing newer is announced--> live
^                              |                                                            |
+--- it was full, or asked for too early to hold all                                        |
+--- an announcement leaves a gap, the tail was broken, or the client reads too slowly -----+
"""

from typing import Literal

PAGE_ENTRIES = 100
Arrival = Literal["next", "gap", "old"]
"""What an announced entry is to a connection: to be sent at once, to be read from the inbox, or sent before."""


class Cursor:
    """How far a connection is in its inbox, whose entries are numbered 1..n without a gap.

    `sent` is the last entry sent. Only while `live` do announced entries go out as they come.
    """

    def __init__(self, sent: int, newest: int) -> None:
        """`newest` is the last entry known to be in the inbox."""
        self.sent = sent
        self._announced = newest
        self._state: Literal["behind", "reading", "live"] = "behind"

    @property
    def is_live(self) -> bool:
        """Whether all that is known of has been sent."""
        return self._state == "live"

    def arrive(self, seq: int) -> Arrival:
        """Take note of an announced entry: while not live all are a gap. After the next one set `sent`."""
        if self.is_live and seq <= self.sent + 1:
            return "old" if seq <= self.sent else "next"
        self._announced = max(self._announced, seq)
        return "gap"

    def fall_behind(self) -> None:
        """The inbox is to be read on, even where the page that is being read now is its last."""
        self._state = "behind"

    def begin_page(self) -> None:
        """Up to PAGE_ENTRIES after `sent` are asked for."""
        self._state = "reading"

    def end_page(self, entries: int) -> bool:
        """So many were sent. False where nothing came of it, and more must be there: ask again a little later."""
        asked_again = self._state == "behind"
        is_done = entries < PAGE_ENTRIES and self.sent >= self._announced and not asked_again
        self._state = "live" if is_done else "behind"
        return entries > 0 or is_done or asked_again
