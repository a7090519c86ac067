"""Variants: a campaign gives one part of its users this and another part that, to see what brings most for its cost."""

from collections.abc import Sequence
from itertools import accumulate

from msgspec import Struct

from fillip.core.identity import identify


class Variant(Struct, frozen=True, forbid_unknown_fields=True):
    """So many `percent` of a campaign's users. They get the rewards that name the variant, and those that name none.

    One that gets none is a control.
    """

    variant_id: str
    percent: int


def choose_variant(variants: Sequence[Variant], tenant_id: str, campaign_id: str, user_id: str) -> str | None:
    """The variant of a user, given percentages that come to 100; None where there are no variants.

    By a hash of tenant, campaign and user alone: the same for ever, and nothing to do with what the user is in elsewhere.
    """
    place = identify("variant", tenant_id, campaign_id, user_id).int % 2**32 * 100 if variants else 0
    ends = accumulate(each.percent for each in variants)
    return next((each.variant_id for each, end in zip(variants, ends, strict=True) if place < end * 2**32), None)
