"""The reference model: one event after the other, in plain dictionaries, straight from the documents.

No SQL, no batches, no clock, nothing of the product: slow, and easy to check by eye against docs/guide. `Model.turns`
say, in the order of the log, what each event earns before any limit, and what each reversal undoes; tests.oracle.limits
replays the limits over these, in the order in which their counters were taken.
"""

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from itertools import chain
from typing import Any
from zoneinfo import ZoneInfo

from tests.oracle.cel import RuleFails, evaluate, read_attributes, read_event
from tests.oracle.claim import Answer, Claim, Document, Name, Touch, is_counted, set_against
from tests.oracle.dates import date_reward
from tests.oracle.ids import draw_variant, hash_parts, is_held_out, name_event
from tests.oracle.merging import Merged, Merging, People, merge_people
from tests.oracle.own_events import GRANT, find_action, give_values, is_of_another, is_own, looks_at, say_data
from tests.oracle.quest import Meeting, QuestLog
from tests.oracle.reversal import REVERSAL, Desk, Undoing, read_reversal
from tests.oracle.worth import appraise

REFUSING = {"draft", "archived"}
LAUNCHED = {"running", "paused"}
ACCEPTED_FOR = timedelta(days=7)
LONGEST_ID_BYTES = LONGEST_KEY_BYTES = 256
FIRST, BEYOND = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)
AHEAD_FOR = timedelta(minutes=5)
LIFETIME = date(1970, 1, 1)


@dataclass(frozen=True)
class Book:
    """What is in force for a tenant: each the document that the API takes."""

    tenant: Document
    actions: Mapping[str, Document]  # name -> JSON Schema
    campaigns: Mapping[str, Document]  # id -> {state, definition, version, kept: {version: definition}}
    limits: Mapping[str, Document] = field(default_factory=dict)
    cohorts: Mapping[str, frozenset[str]] = field(default_factory=dict)
    users: Mapping[str, Document] = field(default_factory=dict)
    lists: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    zones: Mapping[str, str | None] = field(default_factory=dict)  # of users who have one of their own


@dataclass(frozen=True)
class Seen:
    """One message as it was read: the CloudEvent, when the broker appended it, and what was in force then.

    `backfill` is (campaign, run) where it was not read by a worker, but from the past by a backfill.
    """

    event: Document
    received_at: datetime
    book: Book
    offset: int
    backfill: tuple[str, int] | None = None
    sent_as: str | None = None
    """Of which user it was sent, where that is another by now."""

    @property
    def occurred_at(self) -> datetime:
        """Event time."""
        return read_instant(self.event["time"])

    @property
    def name(self) -> str:
        """What tells it from all other events: ids of two sources have nothing to do with each other."""
        return name_event(self.event["source"], self.event["id"])

    @property
    def refused(self) -> bool:
        """Whether it is set aside as it comes in: it was never read."""
        event, at = self.event, self.occurred_at
        ids = [event["id"], event["subject"], *([event["data"]["event_id"]] if event["type"] == REVERSAL else [])]
        too_long = any(len(name.encode()) > LONGEST_ID_BYTES for name in ids)
        dots = event["id"] in (".", "..") or event["subject"] in (".", "..")
        ahead = at > self.received_at + AHEAD_FOR
        return (
            too_long
            or dots
            or ahead
            or is_of_another(event)
            or not FIRST <= at < BEYOND
            or "\\u0000" in json.dumps(event)
        )

    @property
    def late(self) -> bool:
        """Whether it is older than a live tenant takes."""
        return self.book.tenant["clock"] == "live" and self.occurred_at < self.received_at - ACCEPTED_FOR


class Model:
    """One tenant's past. Feed it every message, each as often as it was read."""

    def __init__(self) -> None:
        self.said: dict[str, tuple[object, ...]] = {}
        self.refused = 0
        self.conflicting: set[str] = set()  # events that came again with another body
        self.quests = QuestLog()
        self.people = People()
        self.origins: dict[str, Name] = {}  # of decisions, by id, that a merge has given another name
        self.desk = Desk(self.quests, self.people)
        self.turns: list[Claim | Undoing | Merged] = []
        self.books: dict[str, Book] = {}  # under which a worker recorded an event
        self.filled: set[tuple[str, str]] = set()  # (campaign, event) that backfills have decided
        self.runs: dict[tuple[str, int], Counter[str]] = defaultdict(Counter)
        """Of each run of a backfill: how many events it met, how many decisions it made, how many it passed over and why."""

    def read(self, log: Iterable[Seen | Merging]) -> None:
        """Add the claims and reversals of these messages, and the merges between them, in order, to `turns`.

        A reversal that waited comes once more, right behind what it waited for.
        """
        for each in log:
            if isinstance(each, Merging):
                self.turns.append(merge_people(each, self.people, self.quests, self.origins))
                continue
            if each.refused:
                self.refused += 1
                continue
            seen = self._resolve(each)
            if seen.backfill:
                self.turns += self._fill_back(seen, *seen.backfill)
                continue
            met = [] if seen.event["type"] == REVERSAL else list(_list_met(seen))
            if (met or seen.event["type"] == REVERSAL) and self._is_new(seen):
                self.books[seen.name] = seen.book
                self.turns += self._turns_of(seen, met)
                waited = self.desk.call(seen.name)
                self.turns += [self.desk.take(reversal, self.said, seen.book.actions) for reversal in waited]

    def _resolve(self, seen: Seen) -> Seen:
        """It is of who its user is by now."""
        user = seen.event["subject"]
        now = self.people.find(user)
        return seen if now == user else replace(seen, event={**seen.event, "subject": now}, sent_as=user)

    def _fill_back(self, seen: Seen, campaign_id: str, run: int) -> Iterator[Claim]:
        """What one campaign of today would have for an event of before its launch, unless something stands in the way."""
        campaign, counts = seen.book.campaigns[campaign_id], self.runs[campaign_id, run]
        version = _read_version(seen, campaign_id, campaign["version"], campaign["definition"])
        if not version.met:
            return
        if why := self._pass_over(seen, campaign_id):
            counts[why] += 1
            return
        self.said[seen.name] = _say(seen)
        self.filled.add((campaign_id, seen.name))
        newest = {name: campaign["definition"] for name, campaign in seen.book.campaigns.items()}
        ranked = sorted(self._claims_of(seen, [version]), key=lambda each: each[0])
        claims = [replace(claim, among=newest) for _, claim in ranked]
        counts.update(events_met=1, decisions=len(claims))
        yield from set_against(claims, newest)

    def _pass_over(self, seen: Seen, campaign_id: str) -> str | None:
        """Why an event of the past is not decided for this campaign."""
        if self.desk.holds(seen.name):
            return "reversed"
        if self.said.get(seen.name, _say(seen)) != _say(seen):
            return "conflicting"
        decided = self.books[seen.name].campaigns.get(campaign_id) if seen.name in self.books else None
        if (campaign_id, seen.name) in self.filled or (decided and decided["state"] in LAUNCHED):
            return "decided_before"
        return None

    def _turns_of(self, seen: Seen, met: Sequence[Sequence["Version"]]) -> Iterator[Claim | Undoing]:
        if seen.event["type"] == REVERSAL:
            yield self.desk.take(read_reversal(seen.event), self.said, seen.book.actions)
            return
        ranked = sorted(chain(*(self._claims_of(seen, each) for each in met)), key=lambda each: each[0])
        newest = {name: campaign["definition"] for name, campaign in seen.book.campaigns.items()}
        yield from set_against([claim for _, claim in ranked if not claim.shadow], newest)
        yield from (claim for _, claim in ranked if claim.shadow)

    def _is_new(self, seen: Seen) -> bool:
        """An id of a source counts once, from the first time that it met a rule; with another body it is a conflict."""
        said = _say(seen)
        if seen.name in self.said:
            self.conflicting |= {seen.name} if self.said[seen.name] != said else set()
            return False
        self.said[seen.name] = said
        return True

    def _claims_of(
        self, seen: Seen, versions: Sequence["Version"]
    ) -> Iterator[tuple[tuple[int, int, str, int], Claim]]:
        """Claims with their rank in the event: by priority, by the start of what they complete, by campaign."""
        newest, by_number = versions[-1], {version.number: version for version in versions}
        paused = _tell_bar(seen, newest.campaign, newest.definition)
        late = "late" if seen.late else None
        named = [(seen.offset, "", paused or late, newest.number)]
        if newest.meeting and not paused:
            named = [] if late else list(self._advance([each.meeting for each in versions if each.meeting]))
        for place, (since, instance, refusal, number) in enumerate(named):
            version = by_number[number]
            shadow = _is_in_shadow(seen, version.campaign)
            claim = Claim(
                campaign=version.campaign,
                instance=instance,
                event=seen.name,
                user=seen.event["subject"],
                rewards=version.rewards,
                touches=version.touches,
                day=local_day(seen),
                refusal=refusal or version.worthless or ("shadow" if shadow else None),
                version=number,
                kept=version is not newest,
                gives_back=version.definition.get("give_back", True),
                variant=_find_variant(seen, version.campaign, version.definition),
                shadow=shadow,
                ask=None if instance else partial(_ask, seen, version.campaign, version.definition),
            )
            yield (-newest.definition.get("priority", 0), since, version.campaign, place), claim

    def _advance(self, meetings: Sequence[Meeting]) -> Iterator[tuple[int, str, str | None, int]]:
        done, refused = self.quests.advance(meetings)
        yield from ((instance.offset, instance.name, None, version) for instance, version in done)
        if refused:
            yield refused.offset, refused.name, "too_many_open", meetings[-1].version


def _ask(seen: Seen, campaign_id: str, definition: Document, data: Document) -> Answer:
    """The rule and the rewards of a campaign, for an event with this data in place of its own."""
    left = replace(seen, event={**seen.event, "data": data})
    variant = _find_variant(seen, campaign_id, definition)
    rewards, _ = appraise(definition, variant, seen.event["type"], read_roots(left))
    return _holds(left, definition), {each["index"]: each.get("value", 0) for each in rewards}


def _say(seen: Seen) -> tuple[object, ...]:
    """What has to be the same in two events of one name."""
    event = seen.event
    at = None if is_own(event["type"]) else seen.occurred_at
    return seen.sent_as or event["subject"], event["type"], at, json.dumps(say_data(event), sort_keys=True)


def read_instant(text: str) -> datetime:
    """An RFC 3339 date-time in UTC."""
    return datetime.fromisoformat(text).astimezone(UTC)


@dataclass(frozen=True)
class Version:
    """What an event is to one version of a campaign that is in force, and what a grant under it would take.

    Of a quest there is always a `meeting`; `met` says whether it is anything to it.
    """

    campaign: str
    number: int
    definition: Document
    meeting: Meeting | None
    met: bool = False
    rewards: tuple[Document, ...] = ()
    worthless: str | None = None  # why they can't be granted
    touches: tuple[Touch, ...] = ()


def _list_met(seen: Seen) -> Iterator[list[Version]]:
    """The campaigns that an event is anything to, by their versions in force, the newest last."""
    if seen.event["type"] == GRANT:
        yield from _list_by_hand(seen)
        return
    for campaign_id, campaign in seen.book.campaigns.items():
        newest = campaign["definition"]
        definitions = {**campaign.get("kept", {}), campaign.get("version", 1): newest}
        versions = [_read_version(seen, campaign_id, *each) for each in sorted(definitions.items())]
        if any(version.met for version in versions):
            yield versions


def _read_version(seen: Seen, campaign_id: str, number: int, definition: Document) -> Version:
    """Where a key has no value the version is not met."""
    roles = _list_roles(seen, definition) if _is_open(seen, seen.book.campaigns[campaign_id], definition) else []
    nothing = _read_meeting(seen, campaign_id, number, definition, [])
    with suppress(RuleFails):
        meeting = _read_meeting(seen, campaign_id, number, definition, roles)
        if roles == ["simple"] or (meeting and (meeting.starts or meeting.amounts)):
            variant = _find_variant(seen, campaign_id, definition)
            valued, worthless = appraise(definition, variant, seen.event["type"], read_roots(seen))
            rewards = date_rewards(seen, valued)
            worthless = worthless or ("expired" if any(_is_over(seen, reward) for reward in rewards) else None)
            earns_nothing = worthless or _tell_bar(seen, campaign_id, definition) or _is_in_shadow(seen, campaign_id)
            touches = () if earns_nothing else tuple(_list_touches(seen, campaign_id, rewards))
            return Version(campaign_id, number, definition, meeting, True, rewards, worthless, touches)
    return Version(campaign_id, number, definition, nothing)


def date_rewards(seen: Seen, valued: Iterable[Document]) -> tuple[Document, ...]:
    """Rewards with their dates, by the tenant's zone and the user's own."""
    own_zone = seen.book.zones.get(seen.event["subject"])
    return tuple(date_reward(each, seen.occurred_at, seen.book.tenant, own_zone) for each in valued)


def _list_by_hand(seen: Seen) -> Iterator[list[Version]]:
    """The campaign that a grant by hand names, whatever its rule, schedule and cohorts say; where a limit counts by a part of an event, none."""
    campaign_id = seen.event["data"]["campaign_id"]
    campaign = seen.book.campaigns.get(campaign_id)
    if campaign is None or campaign["state"] not in LAUNCHED or "quest" in campaign["definition"]:
        return
    definition = campaign["definition"]
    variant = _find_variant(seen, campaign_id, definition)
    valued, worthless = give_values(definition, variant, seen.event["data"])
    rewards = date_rewards(seen, valued)
    worthless = worthless or ("expired" if any(_is_over(seen, reward) for reward in rewards) else None)
    with suppress(RuleFails):
        nothing = worthless or _tell_bar(seen, campaign_id, definition)
        touches = () if nothing else tuple(_list_touches(seen, campaign_id, rewards))
        yield [Version(campaign_id, campaign.get("version", 1), definition, None, True, rewards, worthless, touches)]


def _tell_bar(seen: Seen, campaign_id: str, definition: Document) -> str | None:
    """Why what it meets earns nothing, if so: denied for good, as it came, and nothing of it counts for a quest."""
    if seen.book.campaigns[campaign_id]["state"] == "paused":
        return "paused"
    if _is_held_out(seen):
        return "holdout"
    variant = _find_variant(seen, campaign_id, definition)
    return None if any(variant in reward.get("variants", [variant]) for reward in definition["rewards"]) else "control"


def _is_in_shadow(seen: Seen, campaign_id: str) -> bool:
    """Whether a campaign is tried out: it stands against nobody, takes nothing, and its quests are its own."""
    return bool(seen.book.campaigns[campaign_id]["state"] == "shadow")


def _find_variant(seen: Seen, campaign_id: str, definition: Document) -> str | None:
    """The variant of a campaign that its user is in; who is held out is in none of any."""
    if "variants" not in definition or _is_held_out(seen):
        return None
    return draw_variant(definition["variants"], seen.book.tenant["tenant_id"], campaign_id, seen.event["subject"])


def _is_held_out(seen: Seen) -> bool:
    """Whether its user gets nothing, from any campaign."""
    tenant = seen.book.tenant
    percent = tenant.get("holdout_percent", 0)
    return percent > 0 and is_held_out(tenant["tenant_id"], seen.event["subject"], percent)


def _is_over(seen: Seen, reward: Document) -> bool:
    """Whether a reward had expired when the broker took the event that would earn it."""
    return reward["ends"] is not None and reward["ends"] <= seen.received_at


def _is_open(seen: Seen, campaign: Document, definition: Document) -> bool:
    """State, then schedule by event time with both ends included, then cohort. The campaign's end holds for all."""
    zone = seen.book.tenant["time_zone"]
    (starts_at, ends_at), (_, over_at) = read_schedule(definition, zone), read_schedule(campaign["definition"], zone)
    if campaign["state"] in REFUSING or (starts_at and seen.occurred_at < starts_at):
        return False
    if any(end and seen.occurred_at > end for end in (ends_at, over_at)):
        return False
    recurring = (definition.get("schedule") or {}).get("recurring")
    if recurring and not any(_lies_in(seen.occurred_at.astimezone(ZoneInfo(zone)), hours) for hours in recurring):
        return False
    wanted = definition.get("cohorts", [])
    return not wanted or any(seen.event["subject"] in seen.book.cohorts.get(c, ()) for c in wanted)


def _lies_in(local: datetime, hours: Document) -> bool:
    """Whether a clock on the wall shows a time within hours of the week, which begin on their weekday and may end on the next."""
    began = local if hours["from"] <= f"{local:%H:%M}" else local - timedelta(days=1)
    if f"{began:%A}".lower() not in hours["weekdays"]:
        return False
    ends_on = began.date() + timedelta(days=hours["until"] <= hours["from"])
    return (local.date(), f"{local:%H:%M}") < (ends_on, hours["until"])


def give_start(definition: Document, at: str | None) -> Document:
    """A definition that starts when it says, or else at `at`: its launch, or the start of the version before it."""
    schedule = definition.get("schedule") or {}
    return {
        **definition,
        "schedule": schedule if schedule.get("starts_at") or not at else {**schedule, "starts_at": at},
    }


def read_schedule(definition: Document, zone: str) -> tuple[datetime | None, datetime | None]:
    """Start and end of a campaign; None is open. It ends on a day with the last moment of that in the tenant's zone."""
    schedule = definition.get("schedule") or {}
    starts_at, ends_at = (schedule.get(name) for name in ("starts_at", "ends_at"))
    if ends_at and "T" not in ends_at:
        ends_at = f"{datetime.fromisoformat(ends_at).replace(hour=23, minute=59, second=59, tzinfo=ZoneInfo(zone))}"
    return read_instant(starts_at) if starts_at else None, read_instant(ends_at) if ends_at else None


def _list_roles(seen: Seen, definition: Document) -> list[str | int]:
    """What the event is to a campaign: "simple", "start", or indexes of the steps whose rule holds."""
    parts: list[tuple[str | int, Document]] = [("simple", definition)]
    if quest := definition.get("quest"):
        parts = list(enumerate(quest["steps"]))
        if quest.get("start", {}).get("at") == "event":
            parts.append(("start", quest["start"]))
    return [role for role, part in parts if looks_at(part, seen.event) and _holds(seen, part)]


def _holds(seen: Seen, part: Document) -> bool:
    try:
        return evaluate(_leave_start_out(part), **read_roots(seen)) is True
    except RuleFails:
        return False


def _reads_start(part: Document) -> bool:
    """Whether the rule has to be asked of each instance."""
    return "start." in part.get("rule", "true")


def _leave_start_out(part: Document) -> str:
    """What a rule asks of the event alone; an event that does not meet that is nothing to the quest, and not recorded."""
    terms = part.get("rule", "true").split(" && ")
    return " && ".join(term for term in terms if "start." not in term) or "true"


def _admits(seen: Seen, quest: Document, step: int, start: Document | None, started_at: datetime) -> bool:
    """Whether the rule of a step holds for an instance that was opened by an event with this data, at this time."""
    part = quest["steps"][step]
    if not _reads_start(part):
        return True
    opening = quest["start"]["action"] if quest.get("start", {}).get("at") == "event" else quest["steps"][0]["action"]
    with suppress(RuleFails):
        if start is not None:
            read = read_event(seen.book.actions[opening], start, started_at)
            return evaluate(part["rule"], start=read, **read_roots(seen)) is True
    return False


def read_roots(seen: Seen) -> dict[str, Any]:
    """What a rule can read of an event."""
    book, user = seen.book, seen.event["subject"]
    return {
        "event": read_event(book.actions[seen.event["type"]], seen.event["data"], seen.occurred_at),
        "user": read_attributes(book.tenant.get("user_schema", {}), book.users.get(user, {})),
        "cohorts": sorted(cohort for cohort, members in book.cohorts.items() if user in members),
        "lists": {list_id: list(items) for list_id, items in book.lists.items()},
    }


def _list_touches(seen: Seen, campaign_id: str, rewards: tuple[Document, ...]) -> Iterator[Touch]:
    """One for each limit that a grant falls under. Raises RuleFails where a key has no value.

    By hand it falls under those of the action that the campaign looks at.
    """
    looked_at = seen.event["type"]
    if looked_at == GRANT:
        looked_at = find_action(seen.book.campaigns[campaign_id]["definition"])
    for limit_id, limit in sorted(seen.book.limits.items()):
        kind, action = limit.get("reward_kind"), limit.get("action")
        if limit.get("campaign_id") not in (None, campaign_id) or action not in (None, looked_at):
            continue
        counts = (kind, limit.get("currency")) if kind else None
        counted = [each for each in rewards if counts is None or is_counted(each, counts)]
        if pool := limit.get("pool"):
            counted = [each for each in counted if each.get("pool") == pool]
        if counted:
            by_value = limit["measure"] == "value"
            amount = sum(each.get("value", 0) for each in counted) if by_value else len(counted) if pool else 1
            place = _find_part(seen, limit["rolling_s"]) if "rolling_s" in limit else None
            name = (limit_id, *_name_counter(seen, limit))
            yield Touch(name, amount, limit["cap"], counts if by_value else None, place, limit.get("over") == "partial")


def _name_counter(seen: Seen, limit: Document) -> tuple[str, str, date]:
    if limit.get("key") and seen.event["type"] == GRANT:
        raise RuleFails("a grant by hand has no part of an event")
    key = read_key(seen, limit["key"]) if limit.get("key") else ""
    user = seen.event["subject"] if limit["scope"] in ("user", "user_in_campaign") else ""
    return user, key, start_window(limit["span"], local_day(seen, limit.get("zone")), limit.get("week_starts_on"))


def _find_part(seen: Seen, rolling_s: int) -> tuple[int, int]:
    """In which part of a rolling window an event lies, and how many parts behind count it: a part is a 360th, in whole seconds."""
    part_s = max(1, math.ceil(rolling_s / 360))
    return math.floor(seen.occurred_at.timestamp() / part_s), math.ceil(rolling_s / part_s)


def local_day(seen: Seen, zone: str | None = None) -> date:
    """The event's day in the tenant's zone, or in its `user`'s."""
    return seen.occurred_at.astimezone(ZoneInfo(find_zone(seen, zone))).date()


def find_zone(seen: Seen, zone: str | None) -> str:
    """The name of the tenant's zone, or of the `user`'s own, if any."""
    own = seen.book.zones.get(seen.event["subject"]) if zone == "user" else None
    return own or str(seen.book.tenant["time_zone"])


def start_window(span: str, day: date, week_starts_on: str | None = None) -> date:
    """First day of the window that holds `day`; weeks begin on Monday unless another day is named."""
    if span == "week":
        week = [day - timedelta(days=ago) for ago in range(7)]
        return next(each for each in week if each.strftime("%A").lower() == (week_starts_on or "monday"))
    return {"day": day, "month": day.replace(day=1), "year": day.replace(month=1, day=1)}.get(span, LIFETIME)


def _read_meeting(
    seen: Seen, campaign_id: str, number: int, definition: Document, roles: list[str | int]
) -> Meeting | None:
    """What the event is to a quest; None when it is none. Raises RuleFails where it would open one without a key."""
    quest = definition.get("quest")
    if quest is None:
        return None
    starts_at, ends_at = read_schedule(definition, seen.book.tenant["time_zone"])
    amounts, values = _read_amounts(seen, quest, roles), _read_values(seen, quest, roles)
    meeting = Meeting(
        name=(campaign_id + (f"~{number}" if _is_in_shadow(seen, campaign_id) else ""), seen.event["subject"]),
        event=seen.name,
        version=number,
        quest=quest,
        occurred_at=seen.occurred_at,
        clock_at=seen.received_at if seen.book.tenant["clock"] == "live" else seen.occurred_at,
        zone=find_zone(seen, quest.get("zone")),
        offset=seen.offset,
        starts="start" in roles,
        amounts={
            step: amount for step, amount in amounts.items() if step in values or "distinct" not in quest["steps"][step]
        },
        values=values,
        key=_name_key(seen) if quest.get("instance") == "event" else "",
        campaign_starts_at=starts_at,
        campaign_ends_at=ends_at,
        data=seen.event["data"] if any(map(_reads_start, quest["steps"])) else None,
        admits=lambda step, *start: _admits(seen, quest, step, *start),
    )
    if isinstance(quest.get("instance"), dict) and meeting.opens:
        meeting = replace(meeting, key=read_key(seen, quest["instance"]["key"]))
    return meeting


def _name_key(seen: Seen) -> str:
    """The key of an instance of one event: its id, and a hash that tells it from another source's."""
    event = seen.event
    number = hash_parts(["event", event["tenantid"], event["source"], event["id"]])
    return f"{event['id']}@{number.replace('-', '')}"


def _read_amounts(seen: Seen, quest: Document, roles: list[str | int]) -> dict[int, int]:
    """The steps that the event meets; one whose term has no value is not met."""
    amounts = {}
    for role in roles:
        if isinstance(role, int):
            with suppress(RuleFails):
                term = quest["steps"][role].get("sum")
                amounts[role] = int(evaluate(term, **read_roots(seen))) if term else 1
    return amounts


def _read_values(seen: Seen, quest: Document, roles: list[str | int]) -> dict[int, str]:
    """Of the steps that count different values those that the event has; one without is not met."""
    values = {}
    for role in roles:
        if isinstance(role, int) and (source := quest["steps"][role].get("distinct")):
            with suppress(RuleFails):
                values[role] = read_key(seen, source)
    return values


def read_key(seen: Seen, source: str) -> str:
    """The value of a key: a text or a whole number. Raises RuleFails for anything else."""
    key = evaluate(source, **read_roots(seen))
    if not isinstance(key, str | int) or len(str(key).encode()) > LONGEST_KEY_BYTES or "\0" in str(key):
        raise RuleFails("a key that nothing can have")
    return str(key)
