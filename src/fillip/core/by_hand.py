"""Grants by hand: an event of Fillip's own that asks for the rewards of one campaign, without its rule and schedule. Pure."""

from collections.abc import Mapping
from typing import Annotated, TypeVar

from msgspec import Meta, Struct, ValidationError, convert

from fillip.core.campaign.formula import MAX_VALUE
from fillip.core.errors import Unreadable
from fillip.core.problem import read_fault

GRANT = "fillip.grant"
"""The action of an event that asks for a grant by hand."""
BY = "by"
"""In its data: which key asked. Another one may ask for the same again."""
GRANT_SCHEMA: dict[str, object] = {"type": "object"}
"""Rules read nothing of it: its data is read by `read_grant`."""

_Order = TypeVar("_Order")


class GivenValue(Struct, frozen=True, forbid_unknown_fields=True):
    """What a reward is worth whose value would follow from an event."""

    reward_index: Annotated[int, Meta(ge=0, le=100)]
    value: Annotated[int, Meta(ge=1, le=MAX_VALUE)]


class GrantOrder(Struct, frozen=True, forbid_unknown_fields=True):
    """What is asked for: the rewards of a campaign, why, and by which key (None: not told); `values` of those with a formula."""

    campaign_id: Annotated[str, Meta(min_length=1, max_length=63)]
    reason: Annotated[str, Meta(min_length=1, max_length=500)]
    values: Annotated[tuple[GivenValue, ...], Meta(max_length=10)] = ()
    by: Annotated[str, Meta(max_length=100)] | None = None

    def find_value(self, reward_index: int) -> int | None:
        """What was given for a reward with a formula."""
        return next((each.value for each in self.values if each.reward_index == reward_index), None)


def read_grant(data: Mapping[str, object]) -> GrantOrder:
    """The order in the data of an event. Raises Unreadable."""
    return read_order(data, GrantOrder)


def read_order(data: Mapping[str, object], kind: type[_Order]) -> _Order:
    """The order of a kind in the data of an event. Raises Unreadable."""
    try:
        return convert(data, kind)
    except ValidationError as error:
        fault = read_fault(error)
        raise Unreadable("schema_violation", fault.message, at=fault.at or None) from None


def leave_out_key(data: Mapping[str, object]) -> dict[str, object]:
    """What is ordered, whichever key asked."""
    return {name: value for name, value in data.items() if name != BY}
