"""What the story of an event says of one campaign: what was decided, or the first check that fails. Pure."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from fillip.core.book.version import CampaignVersion, join_versions
from fillip.manage.explain import wording
from fillip.manage.explain.answer import Check, Outcome
from fillip.manage.explain.checks import EventContext, check_eligibility, check_limits, describe_conflict
from fillip.manage.story.answer import CampaignTold
from fillip.manage.story.record import EventDecision, LookingCampaigns, QuestTraces, StoredVersion
from fillip.rows.campaign.postgres import read_version

_BEFORE_REWARD = ("paused", "holdout", "control", "late")
"""Reasons of denials that a check of eligibility has too."""


class CampaignFacts(Struct, frozen=True):
    """An event before one campaign, and what is recorded of the two; `recorded`: the event is, whatever came of it."""

    context: EventContext
    decisions: Sequence[EventDecision]
    traces: QuestTraces
    waits: bool
    recorded: bool


def read_campaigns(looking: LookingCampaigns) -> list[CampaignVersion]:
    """The campaigns of a page, each with its retained versions, without the lists that their rules read."""
    retained: dict[str, list[CampaignVersion]] = {}
    for each in looking.retained:
        retained.setdefault(each.campaign_id, []).append(_read_version_of(each))
    return [join_versions([*retained.get(each.campaign_id, ()), _read_version_of(each)]) for each in looking.newest]


def _read_version_of(stored: StoredVersion) -> CampaignVersion:
    return read_version(stored.campaign_id, stored.version, stored.state, stored.definition, stored.checked)


def tell_campaigns(told: Sequence[CampaignFacts], now: datetime) -> list[CampaignTold]:
    """What the event was to each; `now` is only used to tell an event from the future."""
    return [_tell_campaign(facts, now) for facts in told]


def _tell_campaign(facts: CampaignFacts, now: datetime) -> CampaignTold:
    if facts.decisions:
        return _tell_decided(facts, now)
    if facts.waits:
        return _describe(facts, "no_match", "backfill", Check(check="backfill", passed=True, message=wording.WAITING))
    if facts.traces.given or facts.traces.begun:
        message = wording.tell_traces(facts.traces.given, facts.traces.begun)
        return _describe(facts, "progress", "quest", Check(check="quest", passed=True, message=message))
    failed = _find_failed(facts.context, now)
    if failed is None and facts.recorded and facts.context.campaign_version.campaign.quest:
        message = wording.tell_still([], facts.context.campaign_version.version, lapsed=False)
        failed = Check(check="quest", passed=False, reason="quest", message=message)
    if failed is None:
        told = _describe(facts, "no_match", "changed", None)
        told.summary = f"{facts.context.event.user_id} got nothing from '{told.name}': {wording.CHANGED}."
        return told
    return _describe(facts, "no_match", failed.reason or failed.check, failed)


def _tell_decided(facts: CampaignFacts, now: datetime) -> CampaignTold:
    first = facts.decisions[0]  # grants come first
    if first.outcome == "granted":
        return _describe(facts, "granted", "granted", None)
    return _describe(facts, "denied", first.reason, _check_denied(facts.context, first, now))


def _check_denied(context: EventContext, decision: EventDecision, now: datetime) -> Check:
    """The check that a denial stands for, by what the decision has recorded."""
    reason = decision.reason
    if reason == "outranked":
        return describe_conflict(decision.outranked_by)
    if reason == "limit":
        return check_limits(decision.limits)
    if reason in _BEFORE_REWARD:
        found = next((each for each in check_eligibility(context, now) if each.reason == reason), None)
        return found or Check(check="state", passed=False, reason=reason, message=f"it was denied as {reason}")
    if reason == "shadow":
        return Check(check="shadow", passed=False, reason=reason, message=wording.SHADOW)
    if reason in wording.STOCK:
        return Check(check="room", passed=False, reason=reason, message=wording.STOCK[reason])
    return Check(check="reward", passed=False, reason=reason, message=wording.REWARDS[reason])


def _find_failed(context: EventContext, now: datetime) -> Check | None:
    """The first check that fails, of the newest version; None where any version in force passes all."""
    failed: list[Check | None] = [
        next((check for check in check_eligibility(view, now) if not check.passed), None) for view in context.views
    ]
    return None if None in failed else failed[0]


def _describe(facts: CampaignFacts, outcome: Outcome, reason: str, check: Check | None) -> CampaignTold:
    version = facts.context.campaign_version
    checks = [check] if check else []
    return CampaignTold(
        campaign_id=version.campaign_id,
        campaign_version=facts.decisions[0].campaign_version if facts.decisions else version.version,
        name=version.campaign.name,
        outcome=outcome,
        reason=reason,
        summary=wording.summarise(facts.context.event.user_id, version.campaign.name, checks, outcome),
        failed=check if check and not check.passed else None,
        decision_ids=[each.decision_id for each in facts.decisions],
    )
