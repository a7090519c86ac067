"""Each kind of reward is described once, by its traits; what names kinds elsewhere agrees with them."""

import json
import re
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import get_args

import pytest
from msgspec.structs import replace

from fillip.core.campaign.check_rewards import check_rewards
from fillip.core.campaign.period_end import PeriodEnd
from fillip.core.campaign.reward import Reward, RewardKind
from fillip.core.campaign.reward_kind import KINDS
from fillip.core.campaign.reward_kind.traits import KindTraits, StockRefusal
from fillip.core.campaign.vocabulary import TypeContext, Vocabulary
from fillip.core.ledger.claim import ClaimableIncentive, ClaimRefused, claim
from fillip.core.ledger.decision import DecisionReason
from tests.builders import build_campaign

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "src" / "fillip"
NOW = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
KNOWN = Vocabulary(
    currency="EUR", types=TypeContext(actions={}), points=("STARS",), pools=("spring",), badges=("first",)
)
GOOD = {
    "points": [
        Reward("points", 5, pending_for_s=9, expires_after_s=10),
        Reward("points", 5, available_at=NOW, expires_after_s=10),
        Reward("points", 5, available=PeriodEnd("day"), expires=PeriodEnd("month")),
    ],
    "cashback": [Reward("cashback", 100, "EUR")],
    "coupon": [Reward("coupon", pool="spring")],
    "badge": [Reward("badge", badge="first")],
    "custom": [Reward("custom", payload={"name": "a"})],
}
"""Some of each kind, with all members that go with that kind only."""


def check(reward: Reward) -> list[str]:
    """Where a campaign that gives this alone is at fault."""
    campaign = build_campaign(rewards=(reward,))
    return sorted(fault.at for fault in check_rewards(campaign, KNOWN))


def test_the_registry_has_every_kind_and_no_other():
    assert list(KINDS) == list(get_args(RewardKind))


def test_the_contract_offers_these_kinds():
    schemas = json.loads((ROOT / "docs" / "reference" / "openapi.json").read_text())["components"]["schemas"]
    assert schemas["RewardPart"]["properties"]["kind"]["enum"] == list(KINDS)
    assert {"enum": list(KINDS), "type": "string"} in schemas["LimitPart"]["properties"]["reward_kind"]["anyOf"]


def test_no_code_outside_asks_for_a_kind_by_its_name():
    asks = re.compile(rf"""kind (?:[!=]=|(?:not )?in) \(?["'](?:{"|".join(KINDS)})["']""")
    assert [path for path in SOURCES.rglob("*.py") if asks.search(path.read_text())] == []


def test_the_statements_that_name_kinds_name_those_with_the_trait():
    due = (SOURCES / "settle" / "expiry" / "find_due.sql").read_text()
    reversals = (SOURCES / "settle" / "reversal" / "write_reversals.sql").read_text()
    in_wallets = [kind for kind, traits in KINDS.items() if traits.wallet]
    held_once = [kind for kind, traits in KINDS.items() if "badge" in traits.members]
    assert re.findall(r"kind <> '(\w+)'", due) == in_wallets
    assert re.findall(r"kind = '(\w+)'", reversals) == held_once


@pytest.mark.parametrize("traits", KINDS.values(), ids=KINDS)
def test_what_goes_into_a_wallet_is_an_amount_and_is_not_claimed(traits: KindTraits):
    assert bool(traits.wallet) == bool(traits.unclaimable)
    if traits.wallet:
        assert traits.list_currencies and traits.list_currencies("EUR", ["STARS"])[0] == traits.wallet
        assert traits.find_wallet("STARS") == "STARS"
    assert traits.find_wallet(None) == traits.wallet


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_takes_what_is_its_own_and_refuses_what_goes_with_another(kind: str):
    members = {name for traits in KINDS.values() for name in traits.members}
    assert {name for good in GOOD[kind] for name in members if getattr(good, name)} == set(KINDS[kind].members)
    for good in GOOD[kind]:
        assert check(good) == []
        for each in chain(*GOOD.values()):
            named = set(KINDS[each.kind].members) - set(KINDS[kind].members)
            foreign = {name: getattr(each, name) for name in named if getattr(each, name)}
            assert check(replace(good, **foreign)) == sorted(f"/rewards/0/{name}" for name in foreign)
        assert check(replace(good, currency="XXX")) == ["/rewards/0/currency"]


def test_every_refusal_of_stock_has_a_sentence_of_one_kind_and_is_a_reason():
    told = [reason for traits in KINDS.values() for reason in traits.refusals]
    assert sorted(told) == sorted(get_args(StockRefusal))
    assert set(told) <= set(get_args(DecisionReason))


@pytest.mark.parametrize("kind", KINDS)
def test_what_lies_in_no_wallet_can_be_claimed(kind: str):
    granted = ClaimableIncentive(kind=kind, state="granted")
    if KINDS[kind].wallet is None:
        assert claim(granted, NOW).state == "claimed"
    else:
        with pytest.raises(ClaimRefused, match="wallet") as refused:
            claim(granted, NOW)
        assert refused.value.kind == "not-claimable"
