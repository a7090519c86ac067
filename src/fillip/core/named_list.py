"""Named lists: values that a tenant keeps in one place and rules read by name, as `event.sku in lists.premium_skus`."""

from collections.abc import Mapping
from functools import cached_property
from typing import Literal, TypeAlias

from msgspec import Struct

MAX_LIST_ITEMS = 10_000
MAX_ITEM_CHARS = 256

ItemKind = Literal["string", "int"]


class NamedList(Struct, frozen=True, dict=True):
    """What a list holds since `version` of the tenant's book: all strings or all ints, each once, sorted."""

    version: int
    items: list[str] | list[int]

    @cached_property
    def members(self) -> frozenset[object]:
        """The items, to ask whether one is among them."""
        return frozenset(self.items)


Lists: TypeAlias = Mapping[str, NamedList]
"""By id."""

NO_LISTS: Lists = {}
