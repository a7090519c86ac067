"""Wrong quest engines that no definition can express, planted into a worker of a lane."""

from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from fillip.core.quest import batch as questing
from fillip.core.quest import instance
from fillip.core.quest.instance import Advance, Instance, QuestEvent, Transition
from fillip.core.quest.user_instances import UserInstances

_advance = instance.advance


def plant(fault: str) -> None:
    """Make this process wrong; "" leaves it right."""
    if fault:
        FAULTS[fault]()


def _replace_open() -> None:
    """A second receipt replaces what the first one opened."""

    def advance(known: Iterable[Instance], quest_event: QuestEvent, open_now: int = 0) -> Advance:
        known = list(known)
        if not quest_event.starts:
            return _advance(known, quest_event, open_now)
        closed = [replace(each, state="denied") for each in known if each.state == "open"]
        done = _advance([each for each in known if each.state != "open"], quest_event)
        return Advance([*(Transition(each, each.campaign_version) for each in closed), *done.moved], done.refused)

    pytest.MonkeyPatch().setattr(questing, "advance", advance)


def _count_for_first() -> None:
    """A purchase counts for the oldest open offer of the user alone."""
    chosen: dict[UUID, tuple[str, str] | None] = {}

    def advance(self: Any, event: Any, candidate: Any) -> Any:
        if event.action != "PURCHASE":
            return _move(self, event, candidate)
        if event.key not in chosen:
            chosen.clear()
            chosen[event.key] = _find_first(self, event)
        first = chosen[event.key]
        if first is None or first[0] != candidate.campaign_version.campaign_id:
            return [], None
        mine = self._of_user((event.tenant_id, candidate.campaign_version.quest_id, event.user_id))
        mine.find = lambda event: [each for each in UserInstances.find(mine, event) if each.key == first[1]]
        try:
            return _move(self, event, candidate)
        finally:
            del mine.find

    pytest.MonkeyPatch().setattr(questing.InstanceBatch, "advance", advance)


def _find_first(quests: Any, event: Any) -> tuple[str, str] | None:
    """(campaign, instance key) of the user's oldest instance that is open at the event's time."""
    found = [
        (each.start_offset, campaign, each.key)
        for campaign, version in event.book.campaign_versions.items()
        for each in quests._of_user((event.tenant_id, version.quest_id, event.user_id)).instances.values()
        if each.state == "open" and each.ends_at and event.occurred_at <= each.ends_at
    ]
    return min(found)[1:] if found else None


_move = questing.InstanceBatch.advance
FAULTS: dict[str, Callable[[], None]] = {"replace": _replace_open, "first-only": _count_for_first}
