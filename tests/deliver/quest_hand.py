"""A hand that moves quests and announces it, like settle and publish."""

import json
import time
from typing import Any

from tests.deliver.gateway_world import World

TENANT = "INSERT INTO tenant VALUES ($1, 'T', 'UTC', 'EUR', 'live') ON CONFLICT DO NOTHING"
CAMPAIGN = """
    INSERT INTO campaign (tenant_id, campaign_id, version, state) VALUES ($1, 'visits', 1, 'running')
    ON CONFLICT DO NOTHING
"""
VERSION = """
    INSERT INTO campaign_version VALUES ($1, 'visits', 1, '{"quest": {"lateness_s": 60}}', '{}') ON CONFLICT DO NOTHING
"""
MOVE = """
    INSERT INTO quest_instance AS i (tenant_id, campaign_id, user_id, instance_key, occurrence, campaign_version, state,
                                     started_at, ends_at, start_event_id, start_event_source, start_offset, steps, start_attributes)
    VALUES ($1, 'visits', $2, $3, 1, 1, $4, '2026-01-31 09:30+00', now() + $5 * interval '1 s', 'e1', '/till', 7,
            jsonb_build_array(jsonb_build_object('name', $6::text, 'done', $7::int, 'needed', 3, 'last', '2026-01-31')),
            '{"secret": 1}')
    ON CONFLICT (tenant_id, campaign_id, user_id, instance_key, occurrence) DO UPDATE
    SET state = excluded.state, steps = excluded.steps, revision = i.revision + 1
    RETURNING to_jsonb(i)
"""


async def move(
    world: World, user: str, done: int, *, key: str = "", state: str = "open", ends_in_s: float = 600,
    tenant: str = "acme", step: str = "visit", connection=None,
) -> dict:  # fmt: skip
    """Store how far a user's instance of the quest `visits` is; the row as JSON."""
    connection = connection or world.pool
    for statement in (TENANT, CAMPAIGN, VERSION):
        await connection.execute(statement, tenant)
    return json.loads(await connection.fetchval(MOVE, tenant, user, key, state, ends_in_s, step, done))


def announce_moves(world: World, *rows: dict) -> None:
    """One message of quest.progressed for each row, in order; returns when the broker has them."""
    for index, row in enumerate(rows):
        us = time.time_ns() // 1000
        source = {"epoch": "1", "commit_lsn": us, "index": index, "tx_id": 1, "table": "quest_instance"}
        message = {"op": "u", "after": row, "source": source | {"committed_at_us": us, "published_at_us": us}}
        key = f"{row['tenant_id']}:{row['user_id']}".encode()
        world.producer.produce(world.topics.progressed, json.dumps(message).encode(), key)
    world.producer.flush(10)


async def move_and_announce(world: World, user: str, done: int, **more: Any) -> None:
    """Move an instance and announce it."""
    announce_moves(world, await move(world, user, done, **more))
