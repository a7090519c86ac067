"""Merges of users in the reference model, as docs/guide/people.md tells them: who is who, and what becomes of quests.

Limits, badges and wallets go by what was granted: tests.oracle.limits merges those.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field

from tests.oracle.claim import Name
from tests.oracle.ids import hash_parts
from tests.oracle.quest import Instance, QuestLog

Renamed = Mapping[Name, Name]


@dataclass(frozen=True)
class Merging:
    """One user becomes another between two batches. `refused` are the ids of the decisions so far that completed a quest and were refused:
    what was granted goes by limits, which are not known where quests are.
    """

    merge_id: str
    tenant_id: str
    user: str
    into: str
    refused: Collection[str]


@dataclass(frozen=True)
class Merged:
    """What a merge did: who is who now, and by which names the grants of quests are found from then on."""

    name: str
    user: str
    into: str
    renamed: Renamed
    instances: int


@dataclass(frozen=True)
class Brought:
    """What a merge has brought, as its answer tells."""

    points: Mapping[str, int]
    counters: int
    instances: int
    badges: int
    reason: str = "merged"


@dataclass
class People:
    """Who each user is by now."""

    now: dict[str, str] = field(default_factory=dict)

    def find(self, user: str) -> str:
        """One hop: whoever was merged into another before is the last of them."""
        return self.now.get(user, user)

    def merge(self, user: str, into: str) -> None:
        """All who were the first are the second."""
        self.now = {each: into if other == user else other for each, other in self.now.items()} | {user: into}

    def list_ids(self, user: str) -> list[str]:
        """A user's own id, and those that were merged into it."""
        return [user, *(each for each, other in self.now.items() if other == user)]


def merge_people(merging: Merging, people: People, quests: QuestLog, origins: dict[str, Name]) -> Merged:
    """Merge the people and their quests. `origins` gets the names that decisions had when they were made, by their id: those that have another now."""

    def tell_state(campaign: str, each: Instance) -> str:
        """A quest that was completed, and whose reward was refused, is denied."""
        name = campaign, each.claimed, each.completed_by
        denied = each.state == "completed" and identify(merging.tenant_id, name) in merging.refused
        return "denied" if denied else each.state

    into, instances = people.find(merging.into), 0
    renamed: dict[Name, Name] = {}
    for campaign in [campaign for campaign, user in quests.instances if user == merging.user]:
        for each, name_before in _move(quests, campaign, (merging.user, into), tell_state):
            instances += 1
            if each.state == "completed":
                plain, was = campaign.partition("~")[0], (campaign, each.claimed, each.completed_by)
                renamed[plain, name_before, each.completed_by] = plain, each.name, each.completed_by
                if plain == campaign:
                    origins[identify(merging.tenant_id, was)] = was
    people.merge(merging.user, into)
    return Merged(f"merge {merging.merge_id}", merging.user, into, renamed, instances)


def identify(tenant_id: str, name: Name) -> str:
    """The id of a decision, by the name that it had when it was made; of a campaign in shadow with its version."""
    campaign, instance, event = name
    source, _, event_id = event.partition(" ")
    return hash_parts(["decision", tenant_id, campaign, instance, source, event_id])


def _move(
    quests: QuestLog, campaign: str, who: tuple[str, str], tell_state: Callable[[str, Instance], str]
) -> Iterator[tuple[Instance, str]]:
    """Move the first user's instances of a quest to the second's, each with the name it had.

    Where both have it open, or both have one that lapsed, hers goes on and the other's is closed. What either has completed counts for both: where it
    can't be repeated, what is open of it is closed. What is over for good stays where it was; one that was refused goes only to who had none.
    """
    user, into = who
    theirs = sorted(quests.instances[campaign, user], key=lambda each: (each.key, each.occurrence))
    hers = quests.instances.setdefault((campaign, into), [])
    before = {key: [each for each in hers if each.key == key] for key in {each.key for each in theirs}}
    states = {id(each): tell_state(campaign, each) for each in [*theirs, *hers]}
    for each in theirs:
        once, same, state = not each.quest.get("repeatable"), before[each.key], states[id(each)]
        if each.is_unfinished:
            done = once and any(states[id(other)] == "completed" for other in same)
            if done or any(states[id(other)] in ("open", state) for other in same):
                each.state = "closed"
                continue
        elif state in ("closed", "reversed") or (state == "denied" and same):
            continue
        elif once and state == "completed":
            for other in same:
                other.state = "closed" if other.is_unfinished else other.state
        name_before = each.name
        quests.instances[campaign, user].remove(each)
        each.occurrence = 1 + max((other.occurrence for other in hers if other.key == each.key), default=0)
        hers.append(each)
        yield each, name_before
    hers.sort(key=lambda each: (each.offset, each.key, each.occurrence))
