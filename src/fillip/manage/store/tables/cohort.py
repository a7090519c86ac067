"""The tables of cohorts, their members and rules."""

from fillip.manage.store.tables.kinds import count, instant, integer, json, key, make_table, octets, revised, text, uuid

cohort = make_table(
    "cohort",
    key("tenant_id", "cohort_id"),
    text("name"),
    integer("version"),
    uuid("content_id"),
    count("size", "octets"),
    instant("built_at", null=True),
    text("last_error", null=True),
    json("combination", null=True),
    revised(),
    text("kind", given=False),
    text("sql", "cron", null=True),
    integer("every_minutes", null=True),
    integer("query_revision", "failures"),
    uuid("build_id", null=True),
    instant("next_run_at", "held_until", "begun_at", "received_at", "committed_at", null=True),
)
user_numbering = make_table("user_numbering", key("tenant_id"), count("numbered"))
cohort_build = make_table(
    "cohort_build",
    key("tenant_id"),
    uuid("build_id", key=True),
    text("cohort_id", "change"),
    text("state", "step", "rejections", given=False),
    count("lines", "numbered", "to_number", "rejected", "duplicates", "added", "removed"),
    count("size", "book_version", null=True),
    integer("version", "query_revision", null=True),
    text("error", null=True),
    instant("started_at", "updated_at"),
    instant("ended_at", null=True),
)
cohort_rule = make_table(
    "cohort_rule",
    key("tenant_id", "cohort_id"),
    uuid("rule_id"),
    text("action"),
    json("definition"),
    octets("rule_checked"),
    octets("sum_checked", null=True),
    integer("cost"),
    text("state", given=False),
    instant("known_since", null=True),
    instant("saved_at"),
)
cohort_rule_left = make_table("cohort_rule_left", key("tenant_id"), uuid("rule_id", key=True), instant("left_at"))
