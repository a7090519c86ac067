"""Tenants, campaigns, their versions, books and events by keyword: what a test does not name is plain."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from fillip.core.book.book import Action, Book
from fillip.core.book.version import CampaignVersion
from fillip.core.campaign.campaign import Campaign, CampaignState, Exclusive, Schedule
from fillip.core.campaign.quest import Quest
from fillip.core.campaign.reward import Reward
from fillip.core.campaign.variant import Variant
from fillip.core.event import Event, Place
from fillip.core.limit import Limit
from fillip.core.tenant import Tenant

T0 = datetime(2017, 3, 1, 12, tzinfo=UTC)


def build_tenant(
    *,
    tenant_id: str = "acme",
    time_zone: str = "UTC",
    currency: str = "USD",
    clock: str = "history",
    holdout_percent: int = 0,
) -> Tenant:
    """A tenant whose clock is its log's."""
    return Tenant(tenant_id, "Acme", time_zone, currency, clock, holdout_percent)


def build_campaign(
    *,
    name: str = "Give",
    rewards: tuple[Reward, ...] = (),
    action: str = "BUY",
    rule: str = "true",
    quest: Quest | None = None,
    schedule: Schedule = Schedule(),  # noqa: B008 - frozen
    cohorts: tuple[str, ...] = (),
    priority: int = 0,
    stackable: bool = True,
    exclusive: Exclusive | None = None,
    give_back: bool = True,
    variants: tuple[Variant, ...] = (),
) -> Campaign:
    """A campaign that takes every event of its action, or the events of its quest where it has one."""
    return Campaign(
        kind="QUEST" if quest else "SIMPLE",
        name=name,
        rewards=rewards,
        action=None if quest else action,
        rule=rule,
        quest=quest,
        schedule=schedule,
        cohorts=cohorts,
        priority=priority,
        stackable=stackable,
        exclusive=exclusive,
        give_back=give_back,
        variants=variants,
    )


def build_version(
    campaign_id: str,
    campaign: Campaign,
    *,
    version: int = 1,
    state: CampaignState = "running",
    checked: Mapping[str, Any] | None = None,
) -> CampaignVersion:
    """A running first version of a campaign without rules."""
    return CampaignVersion(campaign_id, version, state, campaign, dict(checked or {}))


def build_book(
    *versions: CampaignVersion,
    tenant: Tenant | None = None,
    version: int = 1,
    actions: Mapping[str, Action] | None = None,
    limits: Mapping[str, Limit] | None = None,
) -> Book:
    """A book of these campaigns, found by their ids alone: no action leads to them."""
    return Book(
        tenant=tenant or build_tenant(),
        version=version,
        actions=actions or {},
        read_user=dict,
        campaign_versions={each.campaign_id: each for each in versions},
        by_action={},
        limits=limits or {},
        cohorts={},
    )


def build_event(
    book: Book,
    event_id: str = "e1",
    *,
    source: str = "/till",
    user_id: str = "u1",
    action: str = "BUY",
    at: datetime = T0,
    received_at: datetime | None = None,
    attributes: Mapping[str, Any] | None = None,
    typed: Mapping[str, Any] | None = None,
    place: Place = Place("t", 0, 0),  # noqa: B008 - frozen
) -> Event:
    """An event of the book's tenant, received and taken at once unless `received_at` says when; `typed` as sent."""
    return Event(
        tenant_id=book.tenant.tenant_id,
        source=source,
        event_id=event_id,
        user_id=user_id,
        action=action,
        occurred_at=at,
        received_at=received_at or at,
        attributes=attributes or {},
        typed=(attributes or {}) if typed is None else typed,
        place=place,
        taken_at=received_at or at,
        book=book,
        original=b"{}",
    )
