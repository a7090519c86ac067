"""Whether the public codes of a definition go together with the rest of it."""

from collections.abc import Iterator

from fillip.core.campaign.campaign import Campaign
from fillip.core.problem import Fault
from fillip.core.redemption import REDEMPTION, fold_code


def check_codes(campaign: Campaign) -> Iterator[Fault]:
    """What is wrong with a campaign's codes, or with looking at redemptions without any."""
    if campaign.quest:
        if campaign.codes:
            yield Fault("/codes", "a QUEST has no codes: what a code gives is a SIMPLE campaign")
        for each in campaign.expressions:
            if each.is_rule and each.action == REDEMPTION:
                at = each.pointer.removesuffix("rule") + "action"
                yield Fault(at, f"{REDEMPTION} is looked at by SIMPLE campaigns with codes alone")
        return
    if campaign.codes and campaign.action != REDEMPTION:
        yield Fault(
            "/action", f"a campaign with codes looks at their redemptions: leave the action out, or say {REDEMPTION}"
        )
    if not campaign.codes and campaign.action == REDEMPTION:
        yield Fault("/codes", f"a campaign of {REDEMPTION} needs the codes that it is for")
    known: dict[str, int] = {}
    for index, code in enumerate(campaign.codes):
        first = known.setdefault(fold_code(code), index)
        if first != index:
            yield Fault(
                f"/codes/{index}", f"the same as {campaign.codes[first]!r}: codes are compared without their case"
            )
