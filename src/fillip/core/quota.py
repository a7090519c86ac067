"""What one tenant may take of what all share. The operator sets it; what is not set is as here.

Rates are token buckets that hold ten seconds' worth: as much may come at once, and refills while less comes.
"""

from math import ceil
from typing import Literal

from msgspec import Struct

BURST_S = 10
"""Seconds of a rate that a full bucket holds."""
RateName = Literal["events_per_s", "requests_per_s", "wrong_codes_per_s"]
"""The last is one user's, of codes that are nobody's: it is no quota, the same for all."""
WRONG_CODES_PER_S = 1
QuotaName = Literal[
    "events_per_s",
    "requests_per_s",
    "sockets",
    "campaigns",
    "rule_steps",
    "cohorts",
    "cohort_size",
    "listed_users",
    "lists",
    "list_size",
    "coupon_codes",
    "stored_bytes",
]


class Quotas(Struct, frozen=True):
    """The quotas of a tenant."""

    events_per_s: int = 20_000
    requests_per_s: int = 2_000
    sockets: int = 10_000
    campaigns: int = 10_000
    rule_steps: int = 2_000_000
    cohorts: int = 1_000
    cohort_size: int = 20_000_000
    listed_users: int = 50_000_000
    lists: int = 100
    list_size: int = 10_000
    coupon_codes: int = 10_000_000
    stored_bytes: int = 10 * 2**30


class RateAnswer(Struct, frozen=True):
    """What came of asking a bucket: `left` in it when it was last looked at, and `wait_s` until there is enough; 0 when it was given."""

    left: int
    wait_s: float = 0.0


class Bucket:
    """A token bucket on a clock that is given: refills by `per_s`, holds ten seconds' worth, is full at first."""

    def __init__(self, now_s: float, per_s: int) -> None:
        self._tokens, self._at_s = float(per_s * BURST_S), now_s

    def take(self, now_s: float, per_s: int, count: int) -> RateAnswer:
        """Take `count` tokens, all or none."""
        self._tokens = min(float(per_s * BURST_S), self._tokens + (now_s - self._at_s) * per_s)
        self._at_s = now_s
        if count <= self._tokens:
            self._tokens -= count
            return RateAnswer(int(self._tokens))
        return RateAnswer(int(self._tokens), (count - self._tokens) / per_s)


def describe_room(name: RateName, per_s: int, answer: RateAnswer) -> dict[str, str]:
    """The headers of an answer to what was let in: RateLimit and RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers-11)."""
    return {
        "RateLimit-Policy": f'"{name}";q={per_s * BURST_S};w={BURST_S}',
        "RateLimit": f'"{name}";r={answer.left}',
    }


def describe_rate(name: RateName, per_s: int, answer: RateAnswer) -> dict[str, str]:
    """The headers of a refusal: as of what was let in, with the seconds until there is room, and Retry-After."""
    wait_s, room = max(1, ceil(answer.wait_s)), describe_room(name, per_s, answer)
    return room | {"RateLimit": f"{room['RateLimit']};t={wait_s}", "Retry-After": str(wait_s)}


def explain_rate(name: RateName, per_s: int, count: int) -> str:
    """What a person is told of a refusal."""
    what = name.removesuffix("_per_s")
    if count > per_s * BURST_S:
        return f"the tenant may send {per_s:,} {what} a second: send at most {per_s * BURST_S:,} at once"
    return f"the tenant may send {per_s:,} {what} a second, and sent more: wait as Retry-After says; nothing was taken"


def describe_stock(name: QuotaName, quota: int, left: int) -> dict[str, str]:
    """The headers of a refusal of something stored: waiting does not help, so there is no time in them."""
    return {"RateLimit-Policy": f'"{name}";q={quota}', "RateLimit": f'"{name}";r={max(0, left)}'}
