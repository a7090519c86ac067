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
from fillip.match import members_postgres, numbers_postgres
from fillip.match.numbers_postgres import PostgresNumbers
from fillip.match.postgres import PostgresBooks
from fillip.migrations import role_dsn
from tests.match.conftest import BUY, Shop


async def test_a_rule_reads_the_event(book_shop: Shop):
    book_shop.launch("big", "event.amount >= 500")
    assert await book_shop.meets(amount=500) == ["big"]
    assert await book_shop.meets(amount=499) == []


async def test_a_rule_reads_the_user_as_stored_now(book_shop: Shop):
    book_shop.launch("gold", 'user.tier == "gold"')
    book_shop.owner.execute(
        """INSERT INTO end_user (tenant_id, user_id, attributes) VALUES ('acme', 'u1', '{"tier": "gold"}')"""
    )
    assert await book_shop.meets("u1") == ["gold"]
    assert await book_shop.meets("nobody-knows") == []


async def test_only_members_of_a_cohort_meet_its_campaign(book_shop: Shop):
    book_shop.launch("vips", cohorts=["vip"])
    book_shop.enrol("vip", "u1")
    assert await book_shop.meets("u1") == ["vips"]
    assert await book_shop.meets("u2") == []
    assert book_shop.refusals == {"not_in_cohort": 1}


async def test_a_cohort_is_replaced_whole_and_read_in_pieces(book_shop: Shop, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(members_postgres, "PIECE_CHUNKS", 2)
    book_shop.launch("vips", cohorts=["vip"])
    users = [f"u{number}" for number in range(40)]
    book_shop.enrol("vip", *users)
    assert [user for user in [*users, "u", "u40", "v"] if await book_shop.meets(user)] == users
    book_shop.enrol("vip", "u1", "u40")
    await book_shop.books.refresh("acme", book_shop.version)
    assert [user for user in [*users, "u40"] if await book_shop.meets(user)] == ["u1", "u40"]


async def test_no_more_users_are_remembered_than_have_room(book_shop: Shop, monkeypatch: pytest.MonkeyPatch):
    """Given room for three, whoever is asked for is answered right, and what is kept stays within it."""
    monkeypatch.setattr(numbers_postgres, "MAX_KEPT", 3)
    book_shop.enrol("vip", "u1", "u3", "u5")
    numbers = PostgresNumbers(book_shop.pool)
    books = {"acme": await book_shop.book()}
    for asked in (["u1", "u2"], ["u3", "u4"], ["u1", "u5"], ["u1", "u2", "u3", "u4", "u5"]):
        found = await numbers.find({"acme": asked}, books)
        assert found["acme"] == {user: book_shop.number(user) for user in asked if user in ("u1", "u3", "u5")}
        assert numbers._kept == sum(map(len, numbers._known.values())) <= 3


async def test_who_was_erased_is_a_member_no_more(book_shop: Shop, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(numbers_postgres, "LOOK_EVERY_S", 0.0)
    book_shop.launch("vips", cohorts=["vip"])
    book_shop.enrol("vip", "u1", "u2")
    assert await book_shop.meets("u1") == ["vips"]
    book_shop.owner.execute("SELECT set_config('app.tenant', 'acme', false)")
    book_shop.owner.execute("SELECT erase_user('acme', 'u1', 'erased-1', gen_random_uuid())")
    assert await book_shop.meets("u1") == []
    assert await book_shop.meets("u2") == ["vips"]


async def test_a_list_with_users_missing_is_not_taken(book_shop: Shop):
    """Given a list that is being removed because another took its place: the book is read again, or not taken."""
    book_shop.launch("vips", cohorts=["vip"])
    book_shop.enrol("vip", "u1")
    assert await book_shop.meets("u1") == ["vips"]
    book_shop.enrol("vip", "u1", "u2")
    book_shop.owner.execute(f"DELETE FROM cohort_chunk WHERE chunk = {book_shop.number('u2') >> 16}")
    with pytest.raises(Retry, match="miss members"):
        await book_shop.books.refresh("acme", book_shop.version)
    assert await book_shop.meets("u1") == ["vips"]


class SlowBooks(PostgresBooks):
    """Waits in the middle of its transaction, as a machine with too much to do."""

    async def _read_rows(self, *given: Any) -> Any:
        rows = await super()._read_rows(*given)
        await asyncio.sleep(0.1)
        return rows


async def test_a_session_that_postgres_ends_is_asked_again(book_shop: Shop, database: str):
    """Given a limit on idle transactions that the load runs into, then it is Retry, nothing else."""
    hasty = {"idle_in_transaction_session_timeout": "10ms"}
    dsn = role_dsn(database, "fillip_worker")
    async with asyncpg.create_pool(dsn, min_size=0, max_size=1, server_settings=hasty) as pool:
        with pytest.raises(Retry):
            await SlowBooks(pool).pin(["acme"])


async def test_a_schedule_includes_both_its_ends(book_shop: Shop):
    book_shop.launch("hour", schedule={"starts_at": "2017-03-01T12:00:00Z", "ends_at": "2017-03-01T13:00:00Z"})
    second = timedelta(seconds=1)
    moments = [-second, timedelta(), timedelta(hours=1), timedelta(hours=1) + second]
    assert [bool(await book_shop.meets(after=moment)) for moment in moments] == [False, True, True, False]


async def test_a_draft_meets_nothing_and_an_ended_campaign_still_takes_late_events(book_shop: Shop):
    book_shop.launch("archived", state="archived")
    book_shop.launch("ended", state="ended")
    book_shop.launch("draft", state="draft")
    assert await book_shop.meets() == ["ended"]


async def test_a_paused_campaign_is_met_by_its_rule_alone_and_takes_nothing(book_shop: Shop):
    """So that what it was sent is known, and is the same event when it is sent again after the pause."""
    book_shop.launch("paused", "event.amount >= 500", state="paused")
    book_shop.owner.execute(
        "INSERT INTO spending_limit (tenant_id, limit_id, scope, measure, span, cap)"
        " VALUES ('acme', 'l', 'tenant', 'count', 'lifetime', 5)"
    )
    (match,) = await book_shop.meet([await book_shop.event(amount=500)])
    assert [(each.campaign_version.is_paused, each.charges) for each in match.candidates] == [(True, ())]
    assert await book_shop.meets(amount=499) == []
    assert book_shop.refusals == {}


async def test_who_is_held_out_meets_what_others_meet_and_takes_nothing(book_shop: Shop):
    """So that what the holdout would have earned can be counted."""
    book_shop.launch("all", "event.amount >= 500")
    book_shop.owner.execute("UPDATE tenant SET holdout_percent = 50")
    book_shop.owner.execute(
        "INSERT INTO spending_limit (tenant_id, limit_id, scope, measure, span, cap)"
        " VALUES ('acme', 'l', 'tenant', 'count', 'lifetime', 5)"
    )
    events = [await book_shop.event(f"u{number}", amount=500) for number in range(20)]
    matches = await book_shop.meet(events)
    assert [match.event.user_id for match in matches] == [event.user_id for event in events]
    told = {(match.event.held_out, len(match.candidates[0].charges)) for match in matches}
    assert told == {(True, 0), (False, 1)}


async def test_a_control_meets_what_others_meet_and_takes_nothing(book_shop: Shop):
    """And what a variant takes is worth what it gives."""
    halves = [{"variant_id": name, "percent": 50} for name in ("none", "some")]
    points = {"kind": "points", "value": 5, "variants": ["some"]}
    book_shop.launch("split", "event.amount >= 500", variants=halves, rewards=[points])
    book_shop.owner.execute(
        "INSERT INTO spending_limit (tenant_id, limit_id, scope, measure, span, cap)"
        " VALUES ('acme', 'l', 'tenant', 'count', 'lifetime', 5)"
    )
    matches = await book_shop.meet([await book_shop.event(f"u{number}", amount=500) for number in range(20)])
    met = [(match.event, match.candidates[0]) for match in matches]
    found = {(event.find_variant(c.campaign_version), c.values, len(c.charges)) for event, c in met}
    assert (len(met), found) == (20, {("none", (0,), 0), ("some", (5,), 1)})


async def test_a_limit_of_a_pool_is_charged_the_codes_that_a_campaign_gives_of_it(book_shop: Shop):
    book_shop.launch("both", rewards=[{"kind": "coupon", "pool": pool} for pool in ("spring", "spring", "autumn")])
    book_shop.launch("none", rewards=[{"kind": "points", "value": 5}])
    for pool in ("spring", "autumn", "winter"):
        book_shop.owner.execute(
            "INSERT INTO spending_limit (tenant_id, limit_id, scope, measure, span, cap, pool)"
            " VALUES ('acme', %s, 'user', 'count', 'lifetime', 5, %s)",
            [pool, pool],
        )
    (match,) = await book_shop.meet([await book_shop.event(amount=500)])
    charged = {
        c.campaign_version.campaign_id: [(e.counter.limit_id, e.amount) for e in c.charges] for c in match.candidates
    }
    assert charged == {"both": [("autumn", 1), ("spring", 2)], "none": []}


async def test_a_rule_that_fails_matches_nothing_and_is_counted(book_shop: Shop):
    book_shop.launch("odd", "100 / event.amount > 1")
    assert await book_shop.meets(amount=0) == []
    assert book_shop.refusals == {"rule_error": 1}


async def test_candidates_come_by_priority_then_by_name(book_shop: Shop):
    book_shop.launch("b")
    book_shop.launch("a")
    book_shop.launch("first", priority=9)
    assert await book_shop.meets() == ["first", "a", "b"]


async def test_an_event_beyond_the_horizon_is_late_for_a_live_tenant(book_shop: Shop):
    book_shop.launch("any")
    (match,) = await book_shop.meet([await book_shop.event(after=-ACCEPTED_FOR - timedelta(seconds=1))])
    assert match.late
    (match,) = await book_shop.meet([await book_shop.event(after=-ACCEPTED_FOR)])
    assert not match.late


async def test_a_newer_book_is_taken_over_and_known_rules_are_kept(book_shop: Shop):
    book_shop.launch("one")
    assert await book_shop.meets() == ["one"]
    before = (await book_shop.book()).campaign_versions["one"]
    book_shop.launch("two")
    book_shop.owner.execute("UPDATE tenant SET book_version = 1")
    assert await book_shop.meets() == ["one"]
    await book_shop.books.refresh("acme", 1)
    assert await book_shop.meets() == ["one", "two"]
    assert (await book_shop.book()).campaign_versions["one"] is before


async def test_a_changed_list_is_taken_over_and_rules_that_read_no_changed_one_are_kept(book_shop: Shop):
    book_shop.fill("spring", "a", "b")
    book_shop.fill("autumn", "z")
    book_shop.launch("one", "event.coupon in lists.spring")
    book_shop.launch("other", "event.coupon in lists.autumn")
    book_shop.launch("none", "!(event.coupon in lists.spring || event.coupon in lists.autumn)")
    said: list[dict[str, str]] = [{"coupon": "b"}, {"coupon": "z"}, {"coupon": "x"}, {}]
    assert [await book_shop.meets(**attributes) for attributes in said] == [
        ["one"],
        ["other"],
        ["none"],
        ["none"],
    ]
    before = await book_shop.book()
    book_shop.fill("spring", "c")
    await book_shop.books.refresh("acme", book_shop.version)
    assert [await book_shop.meets(coupon=coupon) for coupon in ("b", "c")] == [["none"], ["one"]]
    after = await book_shop.book()
    retained = {
        name
        for name, campaign_version in after.campaign_versions.items()
        if campaign_version is before.campaign_versions[name]
    }
    assert (retained, after.lists["autumn"] is before.lists["autumn"]) == ({"other"}, True)


async def test_values_and_keys_go_by_lists_too(book_shop: Shop):
    book_shop.fill("spring", "a")
    book_shop.launch("one", rewards=[{"kind": "points", "formula": {"of": "event.coupon in lists.spring ? 9 : 1"}}])
    key = check_rule(
        "event.coupon in lists.spring ? 'spring' : 'rest'", derive_type(BUY), EMPTY, expect="key", lists=book_shop.lists
    )
    book_shop.owner.execute(
        "INSERT INTO spending_limit (tenant_id, limit_id, scope, measure, span, action, key, key_checked, cap)"
        " VALUES ('acme', 'l', 'tenant', 'count', 'lifetime', 'BUY', 'k', %s, 5)",
        [key.checked],
    )
    met = [(await book_shop.meet([await book_shop.event(coupon=coupon)]))[0].candidates[0] for coupon in ("a", "b")]
    assert [(each.values, each.charges[0].counter.key) for each in met] == [((9,), "spring"), ((1,), "rest")]


async def test_an_unknown_tenant_has_no_book_even_when_its_name_would_name_two(book_shop: Shop):
    assert await book_shop.books.pin(["nobody", "acme,other", "'", ""]) == {}


async def test_values_go_by_the_event_and_its_user(book_shop: Shop):
    half = {"of": "event.amount", "percent": "50", "rounding": "down"}
    tiers = {"of": 'user.tier == "gold" ? 2 : 1', "tiers": [{"at_least": 1, "value": 10}, {"at_least": 2, "value": 20}]}
    book_shop.launch("mixed", rewards=[{"kind": "cashback", "formula": half}, {"kind": "points", "formula": tiers}])
    book_shop.owner.execute("INSERT INTO end_user VALUES ('acme', 'ada', '{\"tier\": \"gold\"}')")
    values = [
        (await book_shop.meet([await book_shop.event(user, amount=101)]))[0].candidates[0].values
        for user in ("ada", "u1")
    ]
    assert values == [(50, 20), (50, 10)]


async def test_a_formula_that_fails_or_gives_nothing_or_too_much_refuses_the_grant(book_shop: Shop):
    book_shop.launch(
        "odd", rewards=[{"kind": "badge"}, {"kind": "points", "formula": {"of": "10000000000000 / event.amount"}}]
    )
    refused = [
        (await book_shop.meet([await book_shop.event(amount=amount)]))[0].candidates[0].refused
        for amount in (0, -1, 1, 10)
    ]
    assert refused == ["value_error", "no_value", "value_too_large", None]


@pytest.mark.parametrize(("late_s", "refused"), [(3599, None), (3600, "expired"), (10_800, "expired")])
async def test_a_reward_that_was_over_when_the_event_came_refuses_the_grant(
    book_shop: Shop, late_s: int, refused: str | None
):
    hour = {"kind": "coupon", "pool": "today", "expires_after_s": 3600}
    book_shop.launch("today", rewards=[{"kind": "points", "value": 5}, hour])
    book_shop.owner.execute(
        "INSERT INTO spending_limit (tenant_id, limit_id, scope, measure, span, cap)"
        " VALUES ('acme', 'l', 'user', 'count', 'lifetime', 1)"
    )
    event, found = await book_shop.event(), []
    for clock in ("live", "history"):
        book = structs.replace(event.book, tenant=structs.replace(event.book.tenant, clock=clock))
        late = structs.replace(event, received_at=event.occurred_at + timedelta(seconds=late_s), book=book)
        (candidate,) = (await book_shop.meet([late]))[0].candidates
        found.append((candidate.refused, len(candidate.charges)))
    assert found == [(refused, 0 if refused else 1), (None, 1)]
