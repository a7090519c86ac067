"""What is wrong with a body, in plain words and at a place that the body has."""

from collections.abc import Iterator
from typing import Any

import pytest
from httpx import AsyncClient

from fillip.manage.request.faults import PATTERNS
from tests.manage.conftest import Plane
from tests.manage.shop import CASHBACK, QUEST, draft, open_shop


async def refuse(client: AsyncClient, definition: dict[str, Any]) -> dict[str, str]:
    """What a definition is refused for, by place."""
    answer = await client.post("/v1/campaigns", json={"campaign_id": "c", "definition": definition})
    assert answer.status_code == 422, answer.text
    return {error["at"].removeprefix("/definition"): error["message"] for error in answer.json()["errors"]}


@pytest.mark.parametrize(
    ("part", "told"),
    [
        (
            {"limit": []},
            {
                "/limit": "unknown field; known here: kind, name, rewards, action, rule, quest, schedule, cohorts, priority, stackable, "
                "exclusive, give_back, variants, codes, limits"
            },
        ),
        ({"name": None}, {"/name": "must be a text, in quotes"}),
        ({"rewards": {}}, {"/rewards": "must be a list"}),
        ({"priority": "1"}, {"/priority": "must be a whole number, without quotes or a point"}),
        ({"stackable": "yes"}, {"/stackable": "must be true or false, without quotes"}),
        ({"codes": ["FRÜHLING"]}, {"/codes/0": f"must be {PATTERNS['^[A-Za-z0-9._-]{1,64}$']}"}),
        ({"schedule": {"ends_at": "2036-02-30"}}, {"/schedule/ends_at": "there is no day 2036-02-30"}),
        (
            {"schedule": {"ends_at": "19.6.2036"}},
            {
                "/schedule/ends_at": "must be a day such as 2026-06-19, or a date-time such as 2026-01-31T09:30:00Z, not '19.6.2036'"
            },
        ),
        (
            {"schedule": {"recurring": [{"from": "9:00"}]}},
            {
                "/schedule/recurring/0/from": "must be a time from 00:00 to 23:59 with two digits for each, such as 09:30; midnight is 00:00",
                "/schedule/recurring/0/until": "is needed",
            },
        ),
    ],
)
async def test_a_fault_says_what_is_wanted(acme: AsyncClient, part: dict[str, Any], told: dict[str, str]) -> None:
    await open_shop(acme)
    assert await refuse(acme, CASHBACK | part) == told


@pytest.mark.parametrize(
    ("instance", "told"),
    [
        ("users", {"/quest/instance": "must be 'user' or 'event', or must be an object"}),
        ({"keys": "event.x"}, {"/quest/instance/key": "is needed", "/quest/instance/keys": None}),
        ({"key": 5}, {"/quest/instance/key": "must be a text, in quotes"}),
    ],
)
async def test_a_fault_in_one_of_several_things_stands_where_the_body_has_it(
    acme: AsyncClient, instance: object, told: dict[str, str | None]
) -> None:
    await open_shop(acme)
    found = await refuse(acme, QUEST | {"quest": QUEST["quest"] | {"instance": instance}})
    assert found.keys() == told.keys()
    assert all(found[at] == message for at, message in told.items() if message)


async def test_what_is_seldom_meant_is_saved_with_warnings(acme: AsyncClient) -> None:
    """A rule that no event can meet, a cap under which no grant fits, and a reward that is over before its campaign."""
    await open_shop(acme)
    cap = {
        "name": "budget",
        "scope": "campaign",
        "measure": "value",
        "reward_kind": "cashback",
        "span": "day",
        "cap": 50,
    }
    never = "event.amount_cents > 10 && event.amount_cents < 5"
    rewards = [{"kind": "cashback", "value": 100, "expires_at": "2096-12-31"}]
    made = await draft(acme, "c", CASHBACK | {"rule": never, "limits": [cap], "rewards": rewards})
    assert [each["at"] for each in made["warnings"]] == ["/rule", "/limits/0/cap", "/rewards/0/expires_at"]
    assert (await draft(acme, "d", CASHBACK))["warnings"] == []


async def test_every_pattern_of_a_field_is_told_in_words(plane: Plane) -> None:
    assert set(_list_patterns(plane.app.openapi())) == set(PATTERNS)


def _list_patterns(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("pattern"), str):
            yield part["pattern"]
        part = list(part.values())
    if isinstance(part, list):
        for each in part:
            yield from _list_patterns(each)
