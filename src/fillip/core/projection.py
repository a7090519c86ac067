"""Names of what is kept in Valkey: one function a thing, with the tenant as hash tag, so no key crosses tenants.

The projection holds limit counters, as hints. Absent is not zero: whatever is missing there, for whatever reason, is asked
of the ledger. So counters may be forgotten, and are: each lives as long as it is used, see IDLE_FOR_S.
"""

from base64 import urlsafe_b64encode
from datetime import date
from hashlib import blake2b

from fillip.core.hot import HotTerms
from fillip.core.limit import CounterKey

IDLE_FOR_S = 24 * 3600
"""A counter is forgotten when for so long it has neither moved nor been found full: then a hint saves nothing. No window
needs more: a counter of a day that is over is not asked for, one of a month comes back with its next move.
"""

_DIGEST_BYTES = 12


def name_counter(key: CounterKey) -> str:
    """The string ("used version") that mirrors one limit counter, of the same length however long its parts are.

    96 bits of BLAKE2b: two counters of a tenant that shared a name would lend each other a hint, which the ledger refutes.
    """
    parts = (key.limit_id, key.window_start.isoformat(), key.user_id, key.key)
    said = b"".join(b"%d:%b" % (len(part), part) for part in map(str.encode, parts))
    digest = urlsafe_b64encode(blake2b(said, digest_size=_DIGEST_BYTES).digest()).decode()
    return f"f:{{{key.tenant_id}}}:c:{digest}"


def is_plain(key: CounterKey) -> bool:
    """Whether it is a limit's one counter of a window, which all events of a campaign meet: as few as there are limits."""
    return not key.user_id and not key.key


def name_bucket(tenant_id: str, rate: str) -> str:
    """The token bucket of one of a tenant's rates."""
    return f"fillip:{{{tenant_id}}}:rate:{rate}"


def name_epoch(tenant_id: str) -> str:
    """The epoch in which the tenant's counters were written; absent = the projection was lost."""
    return f"f:{{{tenant_id}}}:epoch"


def name_used(tenant_id: str, day: date) -> str:
    """The HyperLogLog of the tenant's counters that were written on a day (UTC): it bounds how many there are."""
    return f"f:{{{tenant_id}}}:used:{day.isoformat()}"


def name_sketch(tenant_id: str, terms: HotTerms, number: int) -> str:
    """The string of 32-bit cells that counts what met the tenant's campaigns in one window. Other terms begin another."""
    shape = terms.shape
    return f"cms:{{{tenant_id}}}:{shape.width}x{shape.depth}:{terms.window_s}:{number}"


def name_sample(tenant_id: str, terms: HotTerms, number: int) -> str:
    """The hash that counts some campaigns of that window exactly: it tells how often the sketch is wrong."""
    return f"{name_sketch(tenant_id, terms, number)}:sample"


def name_hot(tenant_id: str) -> str:
    """The hash of the tenant's hot campaigns: id -> "since until" in Unix seconds."""
    return f"hot:set:{{{tenant_id}}}"


def name_users(tenant_id: str, campaign_id: str, terms: HotTerms, number: int) -> str:
    """The sorted set of a hot campaign's users by their decisions in one window."""
    return f"agg:{{{tenant_id}}}:{campaign_id}:{terms.window_s}:{number}"


def name_live(tenant_id: str) -> str:
    """The string "run_id since" of the tenant's live hours: which run of the publisher wrote them, and the first hour that is whole."""
    return f"live:{{{tenant_id}}}"


def name_live_campaign(tenant_id: str, run_id: str, campaign_id: str) -> str:
    """The hash of a campaign's hours, each with its sums, as one run of the publisher wrote them."""
    return f"live:{{{tenant_id}}}:{run_id}:{campaign_id}"


def name_live_instant(run_id: str) -> str:
    """Until when (Unix seconds) the hours of a run have all that was committed; of no tenant."""
    return f"live:as_of:{run_id}"


def name_refused(tenant_id: str) -> str:
    """The hash of the events that the HTTP door refused: key -> whose it is, as a digest, and the refusal as JSON."""
    return f"refused:{{{tenant_id}}}"


def name_refused_order(tenant_id: str) -> str:
    """The sorted set of their keys, by when (Unix milliseconds)."""
    return f"refused:{{{tenant_id}}}:order"


def name_boards(tenant_id: str) -> str:
    """The hash that says where the tenant's leaderboards stand.

    `b:ID` -> "edition run mark" of a board that is whole, `e:EDITION` -> the run that began it, `n:EDITION:WINDOW` -> how many users stand
    in a window, `behind` -> until when (Unix seconds) all is counted where that is less than of the run.
    """
    return f"board:{{{tenant_id}}}"


def name_board(tenant_id: str, edition: str, window: date) -> str:
    """The sorted set of one window of a leaderboard: members by their score, below zero so that the highest stands first."""
    return f"board:{{{tenant_id}}}:{edition}:{window.isoformat()}"


def name_board_users(tenant_id: str, edition: str, window: date) -> str:
    """The hash of the same users: user -> the instant that its member begins with."""
    return f"{name_board(tenant_id, edition, window)}:users"


def name_boards_instant(run_id: str) -> str:
    """Until when (Unix seconds) the boards of a run have all that was committed; of no tenant."""
    return f"board:as_of:{run_id}"


BOARD_TENANTS = "board:tenants"
"""The set of tenants of which boards stand in Valkey."""
