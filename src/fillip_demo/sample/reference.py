"""The answer key of the sample: what an exact engine must count, worked out from the tables by plain loops.

It imports nothing of the engine and nothing of journey.py: a mistake there must not repeat itself here.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from fillip_demo.sample.tables import rows

CASHBACK_FROM_CENTS = 5_000
CASHBACK_CENTS = 100
DAILY_BUDGET_CENTS = 10_000
DAY_S = 86_400
VISITS = 3
VISITS_WITHIN_S = 7 * DAY_S


def expected() -> dict[str, int]:
    """Count every outcome of the sample: enrolments, redemptions, pairs, cashback, purchases and quest.

    Pairs come after all real redemptions, under the same caps. `_capped`: admissible, refused by a cap.
    """
    return {**_count_coupons(), **_count_cashback(), **_count_visits()}


@dataclass
class _Coupons:
    """Who may redeem what when; `taken` holds (household, coupon, campaign) already granted."""

    windows: dict[str, tuple[str, str]]
    bound: set[tuple[str, str]]
    enrolled: set[tuple[str, str]]
    taken: set[tuple[str, str, str]] = field(default_factory=set)

    def judge(self, household: str, coupon: str, campaign: str, day: str) -> str:
        """Say `inadmissible`, `granted` or `capped`: one per household, coupon and campaign."""
        start, end = self.windows[campaign]
        if not start <= day <= end or (coupon, campaign) not in self.bound:
            return "inadmissible"
        if (campaign, household) not in self.enrolled:
            return "inadmissible"
        if (household, coupon, campaign) in self.taken:
            return "capped"
        self.taken.add((household, coupon, campaign))
        return "granted"


def _count_coupons() -> dict[str, int]:
    coupons = _Coupons(
        windows={campaign: (start, end) for campaign, _type, start, end in rows("campaigns")},
        bound={(coupon, campaign) for coupon, campaign in rows("coupons")},
        enrolled={(campaign, household) for campaign, household in rows("enrolments")},
    )
    redemptions = list(rows("redemptions"))
    real = Counter(coupons.judge(*row) for row in redemptions)
    crossed = Counter(
        coupons.judge(household, coupon, campaign, day)
        for household, coupon, actual, day in redemptions
        for campaign in coupons.windows
        if campaign != actual
    )
    enrolments = {"enrolments": sum(1 for _ in rows("enrolments"))}
    return enrolments | _name("redemptions", real) | _name("pairs", crossed)


def _name(prefix: str, verdicts: Counter[str]) -> dict[str, int]:
    return {
        prefix: verdicts.total(),
        f"{prefix}_admissible": verdicts["granted"] + verdicts["capped"],
        f"{prefix}_granted": verdicts["granted"],
        f"{prefix}_capped": verdicts["capped"],
    }


def _count_cashback() -> dict[str, int]:
    """Each basket of $50 or more earns $1 while the day's budget of $100 lasts."""
    by_day = Counter(int(row[0]) // DAY_S for row in rows("baskets") if int(row[5]) >= CASHBACK_FROM_CENTS)
    granted = sum(min(eligible, DAILY_BUDGET_CENTS // CASHBACK_CENTS) for eligible in by_day.values())
    return {
        "cashback_eligible": by_day.total(),
        "cashback_granted": granted,
        "cashback_capped": by_day.total() - granted,
        "cashback_cents": granted * CASHBACK_CENTS,
        "cashback_days_full": sum(n >= DAILY_BUDGET_CENTS // CASHBACK_CENTS for n in by_day.values()),
    }


def _count_visits() -> dict[str, int]:
    """Three baskets within seven days, both ends included; then, or when late, the next one begins anew."""
    visits: dict[str, list[int]] = defaultdict(list)
    for second, household, *_ in rows("baskets"):
        visits[household].append(int(second))
    total: Counter[str] = Counter()
    for seconds in visits.values():
        total.update(replay_visits(seconds))
    return {
        "purchases": sum(map(len, visits.values())),
        "quest_completed": total["completed"],
        "quest_lapsed": total["lapsed"],
        "quest_open": total["open"],
    }


def replay_visits(seconds: list[int]) -> Counter[str]:
    """Count one household's completed, lapsed (closed by a later visit) and open instances, in log order."""
    counted: Counter[str] = Counter()
    start = met = 0
    for second in seconds:
        if met and second - start > VISITS_WITHIN_S:
            counted["lapsed"] += 1
            met = 0
        if not met:
            start = second
        met += 1
        if met == VISITS:
            counted["completed"] += 1
            met = 0
    counted["open"] += met > 0
    return counted
