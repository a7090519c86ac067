"""The sample: the shipped tables give the known events, definitions and counts."""

import re
from collections import Counter
from datetime import UTC, datetime
from itertools import chain, pairwise

import jsonschema_rs
import msgspec
import pytest

from fillip.core.campaign.campaign import Campaign
from fillip.core.campaign.quest import Quest
from fillip.core.identity import identify_event
from fillip.core.limit import Limit
from fillip.core.quest.instance import Instance, QuestEvent, advance
from fillip.core.rule import Rule, compile_rule
from fillip.core.schema.types import EMPTY, derive_type
from fillip.core.tenant import Tenant
from fillip.manage.rule.checker import check_rule
from fillip_demo import sample
from fillip_demo.sample import Event, reference

TENANT = Tenant("demo", "Demo", "UTC", "USD", "history")
KIND_RANK = {"ENROLLED": 0, "PURCHASE": 1, "REDEEM": 2}


@pytest.fixture(scope="module")
def stream() -> list[Event]:
    """All events of the sample."""
    return list(sample.events())


def test_every_row_becomes_one_event(stream: list[Event]) -> None:
    kinds = Counter(event["type"] for event in stream)
    assert kinds == {"PURCHASE": 155_848, "ENROLLED": 6_589, "REDEEM": 2_102}
    assert len({event["id"] for event in stream}) == 164_539


def test_events_come_by_time_then_kind_then_row(stream: list[Event]) -> None:
    order = [(e["time"], KIND_RANK[str(e["type"])], int(str(e["id"])[4:])) for e in stream]
    assert all(earlier < later for earlier, later in pairwise(order))


def test_first_events_are_known() -> None:
    """Given the first rows of each table, when read as events, then every field is as in the origin."""
    stream = sample.events()
    enrolled = next(stream)
    assert enrolled["time"] == "2016-11-14T00:00:00Z"
    assert enrolled["data"] == {"campaign": "24", "type": "Type C"}
    purchase = next(event for event in stream if event["type"] == "PURCHASE")
    assert purchase == {
        "specversion": "1.0",
        "id": "cj-p0",
        "source": "completejourney",
        "type": "PURCHASE",
        "subject": "h900",
        "time": "2017-01-01T11:53:26Z",
        "tenantid": "grocer",
        "data": {
            "basket": "31198570044",
            "store": "330",
            "amount_cents": 50,
            "lines": 1,
            "coupon_discount_cents": 0,
        },
    }
    redeem = next(event for event in stream if event["type"] == "REDEEM")
    assert redeem["id"] == "cj-r0" and redeem["subject"] == "h1029"
    assert redeem["time"] == "2017-01-01T23:59:59Z"
    assert redeem["data"] == {"coupon": "51380041013", "campaign": "26"}


def test_sales_add_up_to_the_known_total(stream: list[Event]) -> None:
    cents = sum(event["data"]["amount_cents"] for event in stream if event["type"] == "PURCHASE")
    assert cents == 459_603_958


def test_each_pair_is_an_event_of_its_own() -> None:
    pairs = list(sample.pairs())
    assert len(pairs) == len({event["id"] for event in pairs}) == 54_652
    assert all(re.fullmatch(r"cj-x\d+-\d+", str(event["id"])) for event in pairs)


def test_users_are_all_subjects(stream: list[Event]) -> None:
    users = sample.users()
    assert len(users) == 2_469
    assert {event["subject"] for event in stream} == set(users)


def test_answer_key_gives_the_known_counts() -> None:
    counted = sample.expected()
    assert counted["redemptions"] == counted["redemptions_admissible"] == 2_102
    assert (counted["redemptions_granted"], counted["redemptions_capped"]) == (2_075, 27)
    assert (counted["pairs"], counted["pairs_admissible"]) == (54_652, 26)
    assert counted["cashback_granted"] + counted["cashback_capped"] == counted["cashback_eligible"] == 26_201
    assert counted["cashback_granted"] == 25_842
    visits = 3 * counted["quest_completed"]
    assert visits < counted["purchases"] == 155_848


@pytest.mark.parametrize(
    ("days", "outcome"),
    [
        ([0, 1, 2], {"completed": 1}),
        ([0, 3, 7], {"completed": 1}),
        ([0, 0, 0, 0], {"completed": 1, "open": 1}),
        ([0, 3, 7.0001, 8, 9], {"lapsed": 1, "completed": 1}),
        ([0, 8, 16], {"lapsed": 2, "open": 1}),
        ([0, 1, 2, 3, 4, 5], {"completed": 2}),
    ],
)
def test_visits_within_a_week(days: list[float], outcome: dict[str, int]) -> None:
    assert +reference.replay_visits([round(day * 86_400) for day in days]) == Counter(outcome)


def test_definitions_are_campaigns_and_limits_that_belong_together() -> None:
    campaigns = {key: msgspec.convert(value, Campaign) for key, value in sample.campaigns().items()}
    limits = [msgspec.convert(limit, Limit) for limit in sample.limits()]
    assert len(campaigns) == 29 and len(limits) == 28
    assert [limit.campaign_id for limit in limits[:-1]] == [key for key in campaigns if key.startswith("cj-")]
    expressions = [expression for campaign in campaigns.values() for expression in campaign.expressions]
    assert {each.action for each in expressions} < set(sample.actions())
    assert max(len(each.source) for each in expressions) < 8_000


def test_campaign_26_is_as_in_the_origin() -> None:
    campaign = msgspec.convert(sample.campaigns()["cj-26"], Campaign)
    assert campaign.schedule.starts_at == datetime(2016, 12, 28, tzinfo=UTC)
    assert campaign.schedule.ends_at == datetime(2017, 2, 19, 23, 59, 59, tzinfo=UTC)
    assert campaign.cohorts == ("cj-26",)
    assert campaign.rule.startswith('event.campaign == "26" && event.coupon in ["10000085207", ')


def test_cohorts_hold_every_enrolment() -> None:
    cohorts = [sample.cohort_csv(key).split() for key in sample.campaigns() if key.startswith("cj-")]
    sizes = [len(members) for members in cohorts]
    assert (sum(sizes), min(sizes), max(sizes)) == (6_589, 12, 1_133)
    assert {member.decode() for members in cohorts for member in members} <= set(sample.users())


def test_events_meet_the_schemas_of_their_actions(stream: list[Event]) -> None:
    """Given the actions' schemas, when every event is validated, then none fails; rules can be typed."""
    validators = {name: jsonschema_rs.validator_for(schema) for name, schema in sample.actions().items()}
    assert all(validators[str(event["type"])].is_valid(event["data"]) for event in stream)
    assert all(derive_type(schema).fields for schema in sample.actions().values())


def test_quest_arithmetic_agrees_with_the_answer_key(stream: list[Event]) -> None:
    """Given all purchases, when each user's quest advances, then it completes as often as the key says."""
    quest = msgspec.convert(sample.campaigns()["three-visits"], Campaign).quest
    assert quest is not None
    newest: dict[object, list[Instance]] = {}
    states: Counter[str] = Counter()
    for event in stream:
        if event["type"] == "PURCHASE":
            done = advance(newest.get(event["subject"], []), _visit(quest, event))
            changed = [moved.instance for moved in done.moved]
            states.update(instance.state for instance in changed)
            newest[event["subject"]] = changed[-1:]
    counted = sample.expected()
    assert (states["completed"], states["lapsed"]) == (counted["quest_completed"], counted["quest_lapsed"])


def _visit(quest: Quest, event: Event) -> QuestEvent:
    at = datetime.fromisoformat(str(event["time"]))
    name = (str(event["source"]), str(event["id"]))
    return QuestEvent(
        quest, 1, identify_event("grocer", *name), *name, at, at, TENANT.time_zone, TENANT.local_day(at), 0, steps=(0,)
    )


def test_rules_cohorts_and_schedules_admit_what_the_answer_key_admits(stream: list[Event]) -> None:
    """Given the 27 campaigns, when redemptions and pairs meet all of them, then 2,102 and 26 pass."""
    campaigns = {key: msgspec.convert(value, Campaign) for key, value in sample.campaigns().items()}
    coupons = [
        (_compile(campaign), set(sample.cohort_csv(key).decode().split()), campaign.schedule)
        for key, campaign in campaigns.items()
        if campaign.action == "REDEEM"
    ]
    admitted: Counter[str] = Counter()
    for event in chain((e for e in stream if e["type"] == "REDEEM"), sample.pairs()):
        instant = datetime.fromisoformat(str(event["time"]))
        for rule, cohort, schedule in coupons:
            if event["subject"] in cohort and not schedule.refuse(instant, "UTC"):
                admitted[str(event["id"])[:4]] += rule(event["data"], {}, frozenset()) is True
    assert admitted == {"cj-r": 2_102, "cj-x": 26}


def _compile(campaign: Campaign) -> Rule:
    shape = derive_type(sample.actions()[str(campaign.action)])
    return compile_rule(check_rule(campaign.rule, shape, EMPTY).checked)
