"""What becomes of events, as it is stored: decisions and rejections, by asking for the newest again and again."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from fillip.client.api import ApiClient

OVERLAP = timedelta(seconds=10)
"""How long before the newest one it looks again: transactions that run side by side commit in any order."""
MOST_AT_ONCE = 5_000
"""Of one list, each time: what is behind them is left out."""
LISTS = {
    "/v1/decisions": ("decision_id", "decided_at"),
    "/v1/rejections": ("rejection_id", "rejected_at"),
}
"""Path -> its id, and the time that orders it."""


def tail_events(
    client: ApiClient, since: datetime, pause_s: float, tell_left_out: Callable[[str], None]
) -> Iterator[dict[str, Any]]:
    """Each decision and rejection since an instant, once, in the order in which they are found; without an end.

    One that is committed more than 10 s after it was made is not found; where there are more than 5,000 in 10 s the older ones are
    left out, and it is told of which list. Raises CallFailed.
    """
    told: dict[str, dict[str, datetime]] = {path: {} for path in LISTS}
    newest = dict.fromkeys(LISTS, since + OVERLAP)
    while True:
        for path, (id_name, time_name) in LISTS.items():
            asked_from = newest[path] - OVERLAP
            items = client.list(path, **{"from": asked_from.astimezone(UTC).isoformat()})
            found = list(islice(items, MOST_AT_ONCE + 1))
            if len(found) > MOST_AT_ONCE:
                tell_left_out(path)
            fresh = [each for each in reversed(found[:MOST_AT_ONCE]) if each[id_name] not in told[path]]
            yield from fresh
            told[path] |= {each[id_name]: datetime.fromisoformat(each[time_name]) for each in fresh}
            newest[path] = max([newest[path], *told[path].values()])
            told[path] = {key: at for key, at in told[path].items() if at >= newest[path] - OVERLAP}
        time.sleep(pause_s)
