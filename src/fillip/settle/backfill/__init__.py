"""Backfills: events of before a launch, settled for one campaign, portion by portion, as live ones are."""

from fillip.settle.backfill.stage import Portion, SettlePast
from fillip.settle.backfill.walk import BackfillWalk, CampaignEnded, CampaignPaused, History

__all__ = ["BackfillWalk", "CampaignEnded", "CampaignPaused", "History", "Portion", "SettlePast"]
