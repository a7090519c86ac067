"""Which campaigns an event meets: state, schedule, cohort, rule, in that order."""

import asyncio
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from msgspec import structs

from fillip.core.errors import Retry
from fillip.core.event import ACCEPTED_FOR
from fillip.core.schema.types import EMPTY, derive_type
from fillip.manage.rule.checker import check_rule
from fillip.match import members_postgres
from fillip.match.postgres import PostgresBooks
from fillip.migrations import role_dsn
from tests.match.conftest import BUY, Shop


async def test_a_rule_reads_the_event(shop: Shop):
    shop.launch("big", "event.amount >= 500")
    assert await shop.meets(amount=500) == ["big"]
    assert await shop.meets(amount=499) == []


async def test_a_rule_reads_the_user_as_stored_now(shop: Shop):
    shop.launch("gold", 'user.tier == "gold"')
    shop.owner.execute(
        """INSERT INTO end_user (tenant_id, user_id, attributes) VALUES ('acme', 'u1', '{"tier": "gold"}')"""
    )
    assert await shop.meets("u1") == ["gold"]
    assert await shop.meets("nobody-knows") == []


async def test_only_members_of_a_cohort_meet_its_campaign(shop: Shop):
    shop.launch("vips", cohorts=["vip"])
    shop.enrol("vip", "u1")
    assert await shop.meets("u1") == ["vips"]
    assert await shop.meets("u2") == []
    assert shop.refusals == {"not_in_cohort": 1}


async def test_a_cohort_is_replaced_whole_and_read_in_pieces(shop: Shop, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(members_postgres, "PIECE_PARTS", 2)
    shop.launch("vips", cohorts=["vip"])
    users = [f"u{number}" for number in range(40)]
    shop.enrol("vip", *users)
    assert [user for user in [*users, "u", "u40", "v"] if await shop.meets(user)] == users
    shop.enrol("vip", "u1", "u40")
    await shop.books.refresh("acme", shop.version)
    assert [user for user in [*users, "u40"] if await shop.meets(user)] == ["u1", "u40"]


async def test_a_list_with_users_missing_is_not_taken(shop: Shop):
    """Given a list that is being removed because another took its place: the book is read again, or not taken."""
    shop.launch("vips", cohorts=["vip"])
    shop.enrol("vip", "u1")
    assert await shop.meets("u1") == ["vips"]
    shop.enrol("vip", "u1", "u2")
    shop.owner.execute("DELETE FROM cohort_part WHERE members LIKE '%u2'")
    with pytest.raises(Retry, match="miss members"):
        await shop.books.refresh("acme", shop.version)
    assert await shop.meets("u1") == ["vips"]


class SlowBooks(PostgresBooks):
    """Waits in the middle of its transaction, as a machine with too much to do."""

    async def _read_rows(self, *given: Any) -> Any:
        rows = await super()._read_rows(*given)
        await asyncio.sleep(0.1)
        return rows


async def test_a_session_that_postgres_ends_is_asked_again(shop: Shop, database: str):
    """Given a limit on idle transactions that the load runs into, then it is Retry, nothing else."""
    hasty = {"idle_in_transaction_session_timeout": "10ms"}
    dsn = role_dsn(database, "fillip_worker")
    async with asyncpg.create_pool(dsn, min_size=0, max_size=1, server_settings=hasty) as pool:
        with pytest.raises(Retry):
            await SlowBooks(pool).pin(["acme"])


async def test_a_schedule_includes_both_its_ends(shop: Shop):
    shop.launch("hour", schedule={"starts_at": "2017-03-01T12:00:00Z", "ends_at": "2017-03-01T13:00:00Z"})
    second = timedelta(seconds=1)
    moments = [-second, timedelta(), timedelta(hours=1), timedelta(hours=1) + second]
    assert [bool(await shop.meets(after=moment)) for moment in moments] == [False, True, True, False]


async def test_a_draft_meets_nothing_and_an_ended_campaign_still_takes_late_events(shop: Shop):
    shop.launch("archived", state="archived")
    shop.launch("ended", state="ended")
    shop.launch("draft", state="draft")
    assert await shop.meets() == ["ended"]


async def test_a_paused_campaign_is_met_by_its_rule_alone_and_takes_nothing(shop: Shop):
    """So that what it was sent is known, and is the same event when it is sent again after the pause."""
    shop.launch("paused", "event.amount >= 500", state="paused")
    shop.owner.execute(
        "INSERT INTO spending_limit (tenant_id, limit_id, scope, measure, span, cap)"
        " VALUES ('acme', 'l', 'tenant', 'count', 'lifetime', 5)"
    )
    (match,) = await shop.meet([await shop.event(amount=500)])
    assert [(each.campaign_version.is_paused, each.charges) for each in match.candidates] == [(True, ())]
    assert await shop.meets(amount=499) == []
    assert shop.refusals == {}


async def test_a_rule_that_fails_matches_nothing_and_is_counted(shop: Shop):
    shop.launch("odd", "100 / event.amount > 1")
    assert await shop.meets(amount=0) == []
    assert shop.refusals == {"rule_error": 1}


async def test_candidates_come_by_priority_then_by_name(shop: Shop):
    shop.launch("b")
    shop.launch("a")
    shop.launch("first", priority=9)
    assert await shop.meets() == ["first", "a", "b"]


async def test_an_event_beyond_the_horizon_is_late_for_a_live_tenant(shop: Shop):
    shop.launch("any")
    (match,) = await shop.meet([await shop.event(after=-ACCEPTED_FOR - timedelta(seconds=1))])
    assert match.late
    (match,) = await shop.meet([await shop.event(after=-ACCEPTED_FOR)])
    assert not match.late


async def test_a_newer_book_is_taken_over_and_known_rules_are_kept(shop: Shop):
    shop.launch("one")
    assert await shop.meets() == ["one"]
    before = (await shop.book()).campaign_versions["one"]
    shop.launch("two")
    shop.owner.execute("UPDATE tenant SET book_version = 1")
    assert await shop.meets() == ["one"]
    await shop.books.refresh("acme", 1)
    assert await shop.meets() == ["one", "two"]
    assert (await shop.book()).campaign_versions["one"] is before


async def test_a_changed_list_is_taken_over_and_rules_that_read_no_changed_one_are_kept(shop: Shop):
    shop.fill("spring", "a", "b")
    shop.fill("autumn", "z")
    shop.launch("one", "event.coupon in lists.spring")
    shop.launch("other", "event.coupon in lists.autumn")
    shop.launch("none", "!(event.coupon in lists.spring || event.coupon in lists.autumn)")
    said: list[dict[str, str]] = [{"coupon": "b"}, {"coupon": "z"}, {"coupon": "x"}, {}]
    assert [await shop.meets(**attributes) for attributes in said] == [
        ["one"],
        ["other"],
        ["none"],
        ["none"],
    ]
    before = await shop.book()
    shop.fill("spring", "c")
    await shop.books.refresh("acme", shop.version)
    assert [await shop.meets(coupon=coupon) for coupon in ("b", "c")] == [["none"], ["one"]]
    after = await shop.book()
    retained = {
        name
        for name, campaign_version in after.campaign_versions.items()
        if campaign_version is before.campaign_versions[name]
    }
    assert (retained, after.lists["autumn"] is before.lists["autumn"]) == ({"other"}, True)


async def test_values_and_keys_go_by_lists_too(shop: Shop):
    shop.fill("spring", "a")
    shop.launch("one", rewards=[{"kind": "points", "formula": {"of": "event.coupon in lists.spring ? 9 : 1"}}])
    key = check_rule(
        "event.coupon in lists.spring ? 'spring' : 'rest'", derive_type(BUY), EMPTY, expect="key", lists=shop.lists
    )
    shop.owner.execute(
        "INSERT INTO spending_limit (tenant_id, limit_id, scope, measure, span, action, key, key_checked, cap)"
        " VALUES ('acme', 'l', 'tenant', 'count', 'lifetime', 'BUY', 'k', %s, 5)",
        [key.checked],
    )
    met = [(await shop.meet([await shop.event(coupon=coupon)]))[0].candidates[0] for coupon in ("a", "b")]
    assert [(each.values, each.charges[0].counter.key) for each in met] == [((9,), "spring"), ((1,), "rest")]


async def test_an_unknown_tenant_has_no_book_even_when_its_name_would_name_two(shop: Shop):
    assert await shop.books.pin(["nobody", "acme,other", "'", ""]) == {}


async def test_values_go_by_the_event_and_its_user(shop: Shop):
    half = {"of": "event.amount", "percent": "50", "rounding": "down"}
    tiers = {"of": 'user.tier == "gold" ? 2 : 1', "tiers": [{"at_least": 1, "value": 10}, {"at_least": 2, "value": 20}]}
    shop.launch("mixed", rewards=[{"kind": "cashback", "formula": half}, {"kind": "points", "formula": tiers}])
    shop.owner.execute("INSERT INTO end_user VALUES ('acme', 'ada', '{\"tier\": \"gold\"}')")
    values = [(await shop.meet([await shop.event(user, amount=101)]))[0].candidates[0].values for user in ("ada", "u1")]
    assert values == [(50, 20), (50, 10)]


async def test_a_formula_that_fails_or_gives_nothing_or_too_much_refuses_the_grant(shop: Shop):
    shop.launch(
        "odd", rewards=[{"kind": "badge"}, {"kind": "points", "formula": {"of": "10000000000000 / event.amount"}}]
    )
    refused = [
        (await shop.meet([await shop.event(amount=amount)]))[0].candidates[0].refused for amount in (0, -1, 1, 10)
    ]
    assert refused == ["value_error", "no_value", "value_too_large", None]


@pytest.mark.parametrize(("late_s", "refused"), [(3599, None), (3600, "expired"), (10_800, "expired")])
async def test_a_reward_that_was_over_when_the_event_came_refuses_the_grant(
    shop: Shop, late_s: int, refused: str | None
):
    hour = {"kind": "coupon", "pool": "today", "expires_after_s": 3600}
    shop.launch("today", rewards=[{"kind": "points", "value": 5}, hour])
    shop.owner.execute(
        "INSERT INTO spending_limit (tenant_id, limit_id, scope, measure, span, cap)"
        " VALUES ('acme', 'l', 'user', 'count', 'lifetime', 1)"
    )
    event, found = await shop.event(), []
    for clock in ("live", "history"):
        book = structs.replace(event.book, tenant=structs.replace(event.book.tenant, clock=clock))
        late = structs.replace(event, received_at=event.occurred_at + timedelta(seconds=late_s), book=book)
        (candidate,) = (await shop.meet([late]))[0].candidates
        found.append((candidate.refused, len(candidate.charges)))
    assert found == [(refused, 0 if refused else 1), (None, 1)]
