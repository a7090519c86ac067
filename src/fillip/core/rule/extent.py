"""How large values can be that rules make: what a rule can cost at most is told by that."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from fillip.core.named_list import MAX_ITEM_CHARS, MAX_LIST_ITEMS
from fillip.core.schema.types import MAX_LENGTH, AttributeType, ListOf, ObjectType

MAX_TEXT = MAX_LENGTH  # characters of all of an event's texts together
MAX_MEMBERSHIPS = 1000  # cohorts of a user: as many as a tenant may have
_COMPARED_A_UNIT = 2048


@dataclass(frozen=True, slots=True)
class Extent:
    """How large a value can be: `length` characters (a list's items share theirs), `count` items, each an `item`.

    `longest` is what `length` is where the value has all text for itself.
    """

    length: int = 0
    count: int = 0
    item: "Extent | None" = None
    fields: Mapping[str, "Extent"] = field(default_factory=dict)
    longest: int = MAX_TEXT

    def scale(self, by: int) -> "Extent":
        """The same with `by` times the text: what one item of a list may hold when the others hold none."""
        fields = {name: part.scale(by) for name, part in self.fields.items()}
        length = min(self.length * by, self.longest)
        return Extent(length, self.count, self.item and self.item.scale(by), fields, self.longest)

    @property
    def weight(self) -> int:
        """Units to compare the whole value once."""
        inner = self.item.weight if self.item else 0
        return 1 + self.length // _COMPARED_A_UNIT + self.count * max(inner, 1)


_MEMBERSHIP = Extent(length=64, longest=64)
COHORTS = Extent(count=MAX_MEMBERSHIPS, item=_MEMBERSHIP)
LISTED = Extent(count=MAX_LIST_ITEMS, item=Extent(length=MAX_ITEM_CHARS, longest=MAX_ITEM_CHARS))


def measure(kind: AttributeType, text: int = MAX_TEXT, *, kept: bool = True) -> Extent:
    """The extent of an attribute, with at most `text` characters; `kept`: whether a maxLength of the schema holds."""
    if isinstance(kind, ListOf):
        share = -(-text // max(kind.max_items, 1))
        return Extent(count=kind.max_items, item=measure(kind.element, share, kept=kept))
    if isinstance(kind, ObjectType):
        return Extent(fields={part.name: measure(part.type, text, kept=kept) for part in kind.fields})
    longest = (kind.max_length if kept else MAX_TEXT) if kind.kind == "string" else 0
    return Extent(length=min(text, longest), longest=longest)


@dataclass(frozen=True, slots=True)
class Cost:
    """The most units that an expression takes, and how large its value can be."""

    units: int
    extent: Extent = Extent()


def join_extents(extents: list[Extent]) -> Extent:
    """An extent that holds each of these."""
    if not extents:
        return Extent()
    names = {name for extent in extents for name in extent.fields}
    items = [extent.item for extent in extents if extent.item]
    return Extent(
        max(extent.length for extent in extents),
        max(extent.count for extent in extents),
        join_extents(items) if items else None,
        {name: join_extents([extent.fields[name] for extent in extents if name in extent.fields]) for name in names},
        max(extent.longest for extent in extents),
    )
