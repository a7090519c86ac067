"""Rows of campaign_version."""

from msgspec import json
from msgspec.structs import replace

from fillip.core.book.version import CampaignVersion
from fillip.core.campaign.campaign import Campaign, CampaignState, CheckedExpression
from fillip.core.named_list import Lists

_CAMPAIGN, _CHECKED = json.Decoder(Campaign), json.Decoder(dict[str, CheckedExpression])


def read_version(
    campaign_id: str, version: int, state: CampaignState, definition: str | bytes, checked: str | bytes
) -> CampaignVersion:
    """The version of a campaign in `state`, its `definition` and `checked` as JSON, without the lists of `name_lists`."""
    return CampaignVersion(campaign_id, version, state, _CAMPAIGN.decode(definition), _CHECKED.decode(checked))


def know_lists(version: CampaignVersion, lists: Lists) -> CampaignVersion:
    """The version with those of `lists` that its rules read; the same where they read none."""
    named = name_lists(version)
    return replace(version, lists={name: lists[name] for name in named}) if named else version


def name_lists(version: CampaignVersion) -> set[str]:
    """The ids of the named lists that its rules read."""
    return {list_id for checked in version.checked.values() for list_id in checked.uses_lists}
