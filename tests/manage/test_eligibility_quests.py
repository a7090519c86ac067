"""A quest that can't be repeated is no longer told as open once it has ended for its user."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psycopg
import pytest

from tests.manage.conftest import Plane
from tests.manage.ledger_rows import OCCURRED_AT, put_instance
from tests.manage.shop import QUEST, launch, open_cohort
from tests.manage.test_eligibility import ask, by_campaign, checkout

__all__ = ["checkout"]
PURCHASE: dict[str, Any] = {"amount_cents": 1}
COMPLETED = "the quest was completed at 2026-01-31 09:30:00 UTC, and can't be repeated"
DENIED = "the steps of the quest were met at 2026-01-31 09:30:00 UTC, its reward was refused, and it can't be repeated"


def define(**quest: Any) -> dict[str, Any]:
    """Three visits, and what else is said of the quest."""
    return QUEST | {"quest": QUEST["quest"] | quest}


@pytest.mark.parametrize(("state", "message"), [("completed", COMPLETED), ("denied", DENIED)])
async def test_a_quest_that_ended_is_not_earned_and_says_when(
    checkout: httpx.AsyncClient, plane: Plane, state: str, message: str
) -> None:
    """Before any event, with one, and by an explanation alike."""
    await launch(checkout, "visits", QUEST)
    put_instance(plane.dsn, "visits", state, 3, met_at=OCCURRED_AT)
    for attributes in (None, PURCHASE):
        found = await ask(checkout, attributes)
        told = by_campaign(found)["visits"]
        assert (found["counts"]["not_earned"], told["outcome"], told["quests"]) == (1, "not_earned", [])
        assert told["failed"] == {"check": "quest", "reason": "quest", "message": message}
    trial = {"user_id": "ada", "action": "PURCHASE", "attributes": PURCHASE}
    explained = (await checkout.post("/v1/campaigns/visits/explain", json=trial)).json()
    assert [check["message"] for check in explained["checks"] if not check["passed"]] == [message]


async def test_a_quest_that_may_begin_again_is_open(checkout: httpx.AsyncClient, plane: Plane) -> None:
    """One that is repeatable, of a key for other keys, of each event, and one whose last instance lapsed or was taken back."""
    started_by_event = {"at": "event", "action": "PURCHASE"}
    quests = {
        "again": define(repeatable=True),
        "keyed": define(instance={"key": "event.coupon"}),
        "blank": define(instance={"key": "event.coupon"}),  # of which a coupon without a name was completed
        "each": define(instance="event", start=started_by_event),
        "lapsed": QUEST,
        "reversed": QUEST,
    }
    for campaign_id, definition in quests.items():
        await launch(checkout, campaign_id, definition)
        state = campaign_id if campaign_id in ("lapsed", "reversed") else "completed"
        put_instance(plane.dsn, campaign_id, state, 3, key={"keyed": "a", "each": "e1@57"}.get(campaign_id, ""))
    found = await ask(checkout)
    assert (found["counts"]["open"], {each["outcome"] for each in found["campaigns"]}) == (6, {"open"})
    keyed = [by_campaign(await ask(checkout, PURCHASE | {"coupon": key}))["keyed"] for key in ("a", "b")]
    assert [each["outcome"] for each in keyed] == ["not_earned", "open_quest"]
    assert keyed[0]["failed"]["message"] == "the quest was completed, and can't be repeated"


async def test_the_newest_instance_tells_of_each_quest(checkout: httpx.AsyncClient, plane: Plane) -> None:
    """What lapsed before it is nothing; nor are quests beside it that this tenant has no longer."""
    await launch(checkout, "a", QUEST)
    await launch(checkout, "b", QUEST)
    for campaign_id in ("a", "aa-gone", "b"):
        put_instance(plane.dsn, campaign_id, "lapsed", 1)
    with psycopg.connect(plane.dsn) as owner:
        owner.execute(
            'INSERT INTO quest_instance SELECT (jsonb_populate_record(q, \'{"occurrence": 2, "state": "completed"}\')).* FROM quest_instance q'
            " WHERE campaign_id = 'b'"
        )
    assert {name: each["outcome"] for name, each in by_campaign(await ask(checkout)).items()} == {
        "a": "open",
        "b": "not_earned",
    }


async def test_a_window_that_all_share_is_over_for_all(checkout: httpx.AsyncClient) -> None:
    """Also of a campaign that is for a cohort."""
    hour_ago = {"starts_at": (datetime.now(UTC) - timedelta(hours=1)).isoformat()}
    await open_cohort(checkout, "vip", "ada")
    for campaign_id, window_s, cohorts in (("over", 60, []), ("vips", 60, ["vip"]), ("on", 7200, [])):
        shared = define(start={"at": "campaign"}, window_s=window_s, lateness_s=86_400)
        await launch(checkout, campaign_id, shared | {"schedule": hour_ago, "cohorts": cohorts})
    for attributes, left in ((None, "open"), (PURCHASE, "open_quest")):
        told = by_campaign(await ask(checkout, attributes))
        assert {name: each["outcome"] for name, each in told.items()} == {
            "on": left,
            "over": "not_earned",
            "vips": "not_earned",
        }
        assert "the window of the quest ended at" in told["over"]["failed"]["message"]


async def test_what_a_merged_user_ended_is_ended_for_who_she_is_now(checkout: httpx.AsyncClient, plane: Plane) -> None:
    await launch(checkout, "visits", QUEST)
    put_instance(plane.dsn, "visits", "completed", 3, user_id="anon", met_at=OCCURRED_AT)
    await checkout.put("/v1/users/anon", json={"attributes": {}})
    body = {"merge_id": "m1", "from": "anon", "reason": "signed up"}
    assert (await checkout.post("/v1/users/ada/merges", json=body)).status_code == 201
    for user_id in ("ada", "anon"):
        told = by_campaign(await ask(checkout, user_id=user_id))["visits"]
        assert (told["outcome"], told["failed"]["message"]) == ("not_earned", COMPLETED)
