"""The tables of what a tenant defines, and how its book has changed."""

from sqlalchemy import ARRAY, BigInteger, Column, FetchedValue, Integer, Text

from fillip.manage.store.tables.kinds import (
    count,
    flag,
    instant,
    integer,
    json,
    key,
    make_table,
    octets,
    revised,
    text,
    uuid,
)

action = make_table("action", key("tenant_id", "name"), json("schema"), revised())
campaign = make_table(
    "campaign",
    key("tenant_id", "campaign_id"),
    text("state"),
    integer("version"),
    revised(),
    instant("launched_at", null=True),
    count("book_version"),
    [Column("kept", ARRAY(Integer), nullable=False, server_default=FetchedValue())],
)
campaign_version = make_table(
    "campaign_version",
    key("tenant_id", "campaign_id"),
    integer("version", key=True),
    json("definition", "checked"),
    count("steps"),
    instant("created_at"),
    text("open_instances", null=True),
)
spending_limit = make_table(
    "spending_limit",
    key("tenant_id", "limit_id"),
    text("campaign_id", "reward_kind", "currency", "action", "key", null=True),
    text("scope", "measure", "span", "over"),
    text("zone", given=False),
    text("week_starts_on", null=True),
    count("rolling_s", null=True),
    octets("key_checked", null=True),
    count("cap"),
    revised(),
    text("pool", null=True),
    flag("in_definition"),
)
ladder = make_table(
    "ladder",
    key("tenant_id", "currency"),
    text("span"),
    count("rolling_s", null=True),
    [Column("names", ARRAY(Text), nullable=False), Column("thresholds", ARRAY(BigInteger), nullable=False)],
    text("filled_to", null=True, given=False),
    text("followed_to", "attribute", null=True),
    flag("leaving"),
    revised(),
)
user_level = make_table(
    "user_level",
    key("tenant_id", "currency", "user_id"),
    text("level"),
    count("threshold"),
    instant("since"),
    instant("falls_at", null=True),
)
public_code = make_table("public_code", key("tenant_id", "folded"), text("campaign_id"))
named_list = make_table(
    "named_list", key("tenant_id", "list_id"), text("name", "kind"), count("version"), integer("size"), revised()
)
named_list_version = make_table(
    "named_list_version", key("tenant_id", "list_id"), count("version", key=True), json("items")
)
book_change = make_table(
    "book_change",
    key("tenant_id"),
    count("book_version", key=True),
    text("kind", "object_id"),
    json("document"),
    uuid("changed_by", null=True),
    instant("changed_at"),
)
coupon_pool = make_table(
    "coupon_pool", key("tenant_id", "pool_id"), text("name"), instant("created_at"), flag("case_sensitive")
)
coupon = make_table(
    "coupon",
    key("tenant_id", "code"),
    text("pool_id"),
    uuid("incentive_id", null=True),
    instant("redeemed_at", null=True),
    flag("case_sensitive"),
    text("folded", given=False),
)
coupon_generation = make_table(
    "coupon_generation",
    key("tenant_id"),
    uuid("generation_id", key=True),
    text("pool_id", "pattern"),
    integer("wanted", "made"),
    instant("created_at"),
    instant("finished_at", null=True),
)
badge = make_table(
    "badge", key("tenant_id", "badge_id"), text("name", "description"), text("image_url", null=True), revised()
)
points_currency = make_table(
    "points_currency", key("tenant_id", "currency"), text("name"), count("floor", null=True, given=True), revised()
)
leaderboard = make_table(
    "leaderboard",
    key("tenant_id", "leaderboard_id"),
    text("measure", "span"),
    text("currency", "campaign_id", "week_starts_on", null=True),
    revised(),
)
