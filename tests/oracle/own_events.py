"""Events of Fillip's own in the reference model, as docs/guide/codes.md and docs/guide/grants.md tell them: redemptions and grants by hand."""

from collections.abc import Mapping
from typing import Any

from tests.oracle.claim import Document

REDEMPTION, GRANT = "fillip.redemption", "fillip.grant"
MOST = 10**12


def is_own(action: str) -> bool:
    """Whether events of an action were asked for of Fillip: when that was is no part of what they say."""
    return action.startswith("fillip.")


def is_of_another(event: Mapping[str, Any]) -> bool:
    """Whether it says to be Fillip's own, and its source is another's."""
    return event["type"] in (REDEMPTION, GRANT) and event["source"] != event["type"]


def say_data(event: Mapping[str, Any]) -> dict[str, Any]:
    """What has to be the same in two events of one name; of a grant by hand not who asked for it."""
    return {name: value for name, value in event["data"].items() if event["type"] != GRANT or name != "by"}


def find_action(definition: Document) -> str:
    """The action that a SIMPLE campaign looks at."""
    return str(definition.get("action", REDEMPTION))


def looks_at(part: Document, event: Mapping[str, Any]) -> bool:
    """Whether a campaign, or a step, is for an event, before its rule is asked; one with codes is for redemptions of these alone."""
    if find_action(part) != event["type"]:
        return False
    return event["type"] != REDEMPTION or _fold(event["data"]["code"]) in map(_fold, part["codes"])


def _fold(code: str) -> str:
    """What a code is compared by."""
    return code.strip().lower()


def give_values(definition: Document, variant: str | None, data: Document) -> tuple[tuple[Document, ...], str | None]:
    """The rewards that a variant gets by hand, each with its `index` and value, and why they can't be given, if so."""
    said = {each["reward_index"]: each["value"] for each in data.get("values", ())}
    rewards, reasons = [], []
    for index, written in enumerate(definition["rewards"]):
        if "variants" in definition and variant not in written.get("variants", [variant]):
            continue
        reward = {**written, "index": index}
        if formula := written.get("formula"):
            reward["value"] = value = said.get(index, 0)
            reasons += ["no_value"] if not value else ["value_too_large"] if value > formula.get("max", MOST) else []
        rewards.append(reward)
    return tuple(rewards), reasons[0] if reasons else None
