"""An event and its place in the log."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from functools import cached_property
from hashlib import blake2b
from uuid import UUID

from msgspec import Struct, json
from msgspec.structs import replace

from fillip.core.book.book import Book
from fillip.core.book.eligibility import EligibilityIndex
from fillip.core.book.version import CampaignVersion
from fillip.core.by_hand import GRANT, leave_out_key
from fillip.core.campaign.variant import choose_variant
from fillip.core.errors import RejectReason, Unreadable
from fillip.core.identity import identify_event
from fillip.core.limit import LimitCharge
from fillip.core.local_day import Zone, find_day
from fillip.core.redemption import REDEMPTION, name_code
from fillip.core.repair import REPAIR, read_repair

ACCEPTED_FOR = timedelta(days=7)
"""Acceptance horizon of a live tenant: an event older than this, by broker time, is LATE."""
MAX_AHEAD = timedelta(minutes=5)
"""An event further ahead of its arrival than this is rejected."""


class Place(Struct, frozen=True, order=True):
    """Where in the log something stands."""

    topic: str
    partition: int
    offset: int


class Event(Struct, frozen=True, dict=True):
    """One occurrence, validated against its action's schema. `source` and `event_id` together are its name.

    `attributes` are as sent (JSON values); `typed` are what rules read (coerced once, here).
    `occurred_at` is the producer's event time, `received_at` the broker's append time, both UTC.
    `original` are the bytes as they came; `taken_at` is when the worker took the batch: telemetry, it decides nothing.
    `sent_as` is the id that its user came under, where that was merged into `user_id`.
    `book` is the tenant's campaigns, limits and cohorts as pinned for this event's batch. `user_time_zone` is what its user has as an own
    zone, where match has asked: see Book.zoned_actions.
    """

    tenant_id: str
    source: str
    event_id: str
    user_id: str
    action: str
    occurred_at: datetime
    received_at: datetime
    attributes: Mapping[str, object]
    typed: Mapping[str, object]
    place: Place
    taken_at: datetime
    book: Book
    original: bytes = b""
    user_time_zone: str | None = None
    sent_as: str | None = None

    @property
    def key(self) -> UUID:
        """What tells it from all other events."""
        known: UUID | None = self.__dict__.get("_key")  # by hand: a cached_property takes a lock
        if known is None:
            known = self.__dict__["_key"] = identify_event(self.tenant_id, self.source, self.event_id)
        return known

    @property
    def index(self) -> EligibilityIndex | None:
        """The triggers that it may fire: those of its action, of a redemption those of its code. None where nothing looks at it."""
        name = name_code(str(self.attributes.get("code"))) if self.action == REDEMPTION else self.action
        return self.book.by_action.get(name)

    @property
    def day(self) -> date:
        """Its calendar day in the tenant's zone."""
        known: date | None = self.__dict__.get("_day")  # by hand, as above
        if known is None:
            known = self.__dict__["_day"] = self.book.tenant.local_day(self.occurred_at)
        return known

    def tell_time_zone(self, zone: Zone) -> str:
        """The IANA name of the zone by whose days something goes."""
        return (self.user_time_zone if zone == "user" else None) or self.book.tenant.time_zone

    def find_day(self, zone: Zone) -> date:
        """Its calendar day, the tenant's or its user's."""
        return find_day(self.occurred_at, self.user_time_zone) if zone == "user" and self.user_time_zone else self.day

    @property
    def clock_at(self) -> datetime:
        """What the tenant's clock showed when it came; to a history a repair comes as if on its day."""
        if self.book.tenant.clock == "live":
            return self.received_at
        return read_repair(self.attributes).clock_at if self.action == REPAIR else self.occurred_at

    @property
    def held_out(self) -> bool:
        """Whether its user is in the tenant's holdout: what it meets is denied, and counts for no quest."""
        return bool(self.book.tenant.holdout_percent) and self._is_held_out

    def find_variant(self, campaign_version: CampaignVersion) -> str | None:
        """The variant of the campaign that its user is in; None where it has none, and of who is held out of all of them."""
        variants = campaign_version.campaign.variants
        if not variants or self.held_out:
            return None
        campaign_id = campaign_version.campaign_id
        if campaign_id not in self._drawn:  # once for the event: all versions of a launched campaign have the same
            self._drawn[campaign_id] = choose_variant(variants, self.tenant_id, campaign_id, self.user_id)
        return self._drawn[campaign_id]

    @cached_property
    def _is_held_out(self) -> bool:
        return self.book.tenant.holds_out(self.user_id)

    @property
    def charged(self) -> dict[str, LimitCharge]:
        """What each grant takes from limits that count grants without a key, by limit, as far as that was asked: by user and time alone."""
        known: dict[str, LimitCharge] | None = self.__dict__.get("_charged")  # by hand, as above
        if known is None:
            known = self.__dict__["_charged"] = {}
        return known

    @property
    def prices(self) -> dict[tuple[str, int], object] | None:
        """What campaign versions would give and take whatever its attributes are: see core.match.price. None unless it is tried with several."""
        return self.__dict__.get("_prices")

    def keep_prices(self) -> None:
        """Keep `prices` from now on, for this and all that it is changed into."""
        self.__dict__["_prices"] = {}

    def change(self, attributes: Mapping[str, object], typed: Mapping[str, object]) -> "Event":
        """The same with other attributes; what is known of its user and time stays known."""
        changed = replace(self, attributes=attributes, typed=typed)
        changed.__dict__.update(self.__dict__)
        return changed

    @cached_property
    def _drawn(self) -> dict[str, str | None]:
        return {}


def is_late(event: Event) -> bool:
    """Whether it came beyond the acceptance horizon: never in a tenant whose clock is `history`."""
    return event.book.tenant.clock == "live" and event.occurred_at < event.received_at - ACCEPTED_FOR


def fingerprint(event: Event) -> bytes:
    """16 bytes, equal when two events say the same of user, action, instant and attributes.

    BLAKE2b of their JSON with sorted keys. The instant of a reversal decides nothing, and that of what was asked of the API is when it was
    asked: it is left out, so that they may be asked for again later, and so is by which key. The user is who it was sent as, so that an event is
    known again after a merge.
    """
    instant = None if event.action.startswith(RESERVED_PREFIX) else event.occurred_at
    attributes = leave_out_key(event.attributes) if event.action in (GRANT, REPAIR) else event.attributes
    said = (event.sent_as or event.user_id, event.action, instant, attributes)
    return blake2b(json.encode(said, order="sorted"), digest_size=16).digest()


class Rejection(Struct, frozen=True):
    """What cannot be decided, with the bytes as they came. `tenant_id` is None where it is not known."""

    place: Place
    reason: RejectReason
    detail: str
    original: bytes
    received_at: datetime
    tenant_id: str | None = None
    event_id: str | None = None
    event_source: str | None = None


REVERSAL = "fillip.reversal"
"""The action of an event that takes another one back."""


RESERVED_PREFIX = "fillip."
"""Actions and sources that begin so are Fillip's own."""

ASKED_BY = {REDEMPTION: "POST /v1/redemptions", GRANT: "POST /v1/grants", REPAIR: "POST /v1/quest-repairs"}
"""Own events, by action, and the route that puts each into the log. Its source is its action, and its id is given by who asks."""


def check_own(action: str, source: str) -> None:
    """Whether an event of Fillip's own has its own source, so that its name is apart from those of all senders. Raises Unreadable."""
    if (route := ASKED_BY.get(action)) and source != action:
        raise Unreadable("unknown_action", f"events of {action} are Fillip's own: ask for one by {route}", at="/type")


def check_sender(action: str, source: str) -> None:
    """Whether a sender may send an event of this action from this source: of Fillip's own, reversals alone. Raises Unreadable."""
    if action == REVERSAL or not action.startswith(RESERVED_PREFIX):
        if source.startswith(RESERVED_PREFIX):
            raise Unreadable(
                "not_an_event", f"sources that begin with {RESERVED_PREFIX} are Fillip's own: use another", at="/source"
            )
        return
    route = ASKED_BY.get(action)
    cure = f"ask for one by {route}" if route else "use an action of yours"
    raise Unreadable(
        "unknown_action", f"actions that begin with {RESERVED_PREFIX} are Fillip's own: {cure}", at="/type"
    )
