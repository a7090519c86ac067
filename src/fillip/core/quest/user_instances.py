"""A user's instances of one quest as a batch knows them, found by what an event asks for."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from heapq import heappop, heappush

from fillip.core.quest.instance import Instance, QuestEvent

Name = tuple[str, int]
"""(key, occurrence)"""


class UserInstances:
    """Instances as they stand. What an event finds here is what it would find among all, as far as it matters to it."""

    __slots__ = ("_index", "instances")  # a backtest keeps those of all users

    def __init__(self, instances: Iterable[Instance]) -> None:
        """Those that the batch has read."""
        self.instances: dict[Name, Instance] = {(each.key, each.occurrence): each for each in instances}
        self._index: _Index | None = None  # of quests with routes alone

    def put(self, instance: Instance) -> Instance | None:
        """Put it in its place; what stood there before."""
        name = (instance.key, instance.occurrence)
        before = self.instances.get(name)
        self.instances[name] = instance
        if self._index:
            self._index.put(name, instance, before)
        return before

    def forget(self, name: Name) -> Instance:
        """No event asks for this one any more, or not for now."""
        instance = self.instances.pop(name)
        if self._index:
            self._index.forget(name, instance)
        return instance

    def find(self, quest_event: QuestEvent) -> list[Instance]:
        """Those that the event can count for or whose key it would open, and what of the others is over by its clock."""
        routes = quest_event.list_routes()
        if routes is None:
            return list(self.instances.values())
        index = self._find_index()
        names = set[Name]().union(*(index.by_route.get(route, ()) for route in routes))
        if quest_event.opens:
            names |= index.by_key.get(quest_event.key, set())
        due_at = quest_event.clock_at - timedelta(seconds=quest_event.quest.lateness_s)
        while index.ending and index.ending[0][0] < due_at:  # each is told once
            name = heappop(index.ending)[1]
            if name in self.instances:  # or it is forgotten
                names.add(name)
        return [self.instances[name] for name in names]

    def has_waiting(self, key: str, first: datetime) -> bool:
        """Whether one of this key is unfinished and ends at `first` or later."""
        return any(self.instances[name].is_waiting(first) for name in self._find_index().by_key.get(key, ()))

    def _find_index(self) -> "_Index":
        if self._index is None:
            self._index = _Index()
            for name, instance in self.instances.items():
                self._index.put(name, instance, None)
        return self._index


class _Index:
    """Where the instances of each key and route are, and in `ending`, a heap, those that are or were open, also forgotten ones."""

    def __init__(self) -> None:
        self.by_key: dict[str, set[Name]] = defaultdict(set)
        self.by_route: dict[int, set[Name]] = defaultdict(set)
        self.ending: list[tuple[datetime, Name]] = []

    def put(self, name: Name, instance: Instance, before: Instance | None) -> None:
        if before and before.route != instance.route:
            self.by_route[before.route].discard(name)
        self.by_key[instance.key].add(name)
        self.by_route[instance.route].add(name)
        if instance.state == "open" and instance.ends_at and (before is None or before.state != "open"):
            heappush(self.ending, (instance.ends_at, name))

    def forget(self, name: Name, instance: Instance) -> None:
        self.by_key[instance.key].discard(name)
        self.by_route[instance.route].discard(name)
