"""What functions of texts and lists cost at most, and how large what they make can be.

What grows with a text alone is reckoned by its `length`, which a list's texts share. What grows with the product of two,
or makes items of a text, by its `longest`: as if each text of a list could be the one that has all.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

from fillip.core.pattern import MAX_MATCHED_CHARS
from fillip.core.rule.extent import Cost, Extent
from fillip.core.rule.lists import LIST_FUNCTIONS, name_overloads
from fillip.core.rule.tree import Call, Const

CHARACTERS_A_UNIT = 256  # searched or copied
_REWRITTEN_A_UNIT, _TRIMMED_A_UNIT = 32, 16  # characters, each looked at
_COMPARED_IN_SEARCH_A_UNIT = 200
_PARTS_A_UNIT = 2  # cut off, or put in place of others
_Estimate: TypeAlias = Callable[[Call, int, Sequence[Extent]], Cost]


def _estimate_rewriting(node: Call, units: int, extents: Sequence[Extent]) -> Cost:
    text, a_unit = _bound(extents[0]), _TRIMMED_A_UNIT if node.overload == "string_trim" else _REWRITTEN_A_UNIT
    return Cost(units + text.length // a_unit, text)


def _estimate_substring(node: Call, units: int, extents: Sequence[Extent]) -> Cost:
    text, (begin, end) = extents[0], (_read_whole(node, 1), _read_whole(node, 2))
    most = text.longest if begin is None or end is None else max(end - begin, 0)
    made = Extent(length=min(text.length, most), longest=min(text.longest, most))
    return Cost(units + made.length // CHARACTERS_A_UNIT, made)


def _estimate_split(node: Call, units: int, extents: Sequence[Extent]) -> Cost:
    text = _bound(extents[0])
    count = _count_places(node, text, _read_whole(node, 2))
    units += count // _PARTS_A_UNIT + text.length // CHARACTERS_A_UNIT + _search(text, extents[1])
    return Cost(units, Extent(count=count, item=Extent(length=-(-text.length // max(count, 1)), longest=text.longest)))


def _estimate_replace(node: Call, units: int, extents: Sequence[Extent]) -> Cost:
    text = _bound(extents[0])
    count = _count_places(node, text, _read_whole(node, 3))
    length = text.longest + count * extents[2].longest
    units += count // _PARTS_A_UNIT + (text.length + length) // CHARACTERS_A_UNIT + _search(text, extents[1])
    return Cost(units, Extent(length=length, longest=length))


def _bound(text: Extent) -> Extent:
    """The text, of which no more is gone through: a longer one is an error."""
    return Extent(length=min(text.length, MAX_MATCHED_CHARS), longest=min(text.longest, MAX_MATCHED_CHARS))


def _count_places(node: Call, text: Extent, most: int | None) -> int:
    """How often a part can be met in a text, and one more; at most as often as is written out."""
    part = node.args[1]
    shortest = len(part.value) if isinstance(part, Const) and isinstance(part.value, str) else 0
    count = text.longest // max(shortest, 1) + 1
    return count if most is None or most < 0 else min(count, most)


def _estimate_join(node: Call, units: int, extents: Sequence[Extent]) -> Cost:
    over, item = extents[0], extents[0].item or Extent(longest=0)
    between = over.count * (extents[1].longest if len(extents) > 1 else 0)
    made = Extent(length=over.count * item.length + between, longest=over.count * item.longest + between)
    return Cost(units + over.count + made.length // CHARACTERS_A_UNIT, made)


def _estimate_choice(node: Call, units: int, extents: Sequence[Extent]) -> Cost:
    """The least or greatest of a list."""
    over, item = extents[0], extents[0].item or Extent()
    return Cost(units + over.count * item.weight, item.scale(max(over.count, 1)))


def _estimate_pass(node: Call, units: int, extents: Sequence[Extent]) -> Cost:
    return Cost(units + extents[0].count)


def _estimate_distinct(node: Call, units: int, extents: Sequence[Extent]) -> Cost:
    over, item = extents[0], extents[0].item or Extent()
    return Cost(units + over.count * (2 + item.length // CHARACTERS_A_UNIT), replace(over))


def _read_whole(node: Call, index: int) -> int | None:
    """An argument that is a whole number written out, else None."""
    argument = node.args[index] if index < len(node.args) else None
    return argument.value if isinstance(argument, Const) and isinstance(argument.value, int) else None


def _search(text: Extent, part: Extent) -> int:
    """Units of looking for all places of a part, beside going through the text once: the product of both at the worst."""
    return text.longest * max(min(part.longest, text.longest) - 1, 0) // _COMPARED_IN_SEARCH_A_UNIT


FUNCTION_COSTS: dict[str, _Estimate] = {
    **dict.fromkeys(("string_lower_ascii", "string_upper_ascii", "string_trim"), _estimate_rewriting),
    **dict.fromkeys(("string_substring_int", "string_substring_int_int"), _estimate_substring),
    **dict.fromkeys(("string_split_string", "string_split_string_int"), _estimate_split),
    **dict.fromkeys(("string_replace_string_string", "string_replace_string_string_int"), _estimate_replace),
    **dict.fromkeys(("list_join", "list_join_string"), _estimate_join),
}
"""By overload: from a call, what its arguments cost, and their extents."""


def _fill() -> None:
    estimates = {
        "sum": _estimate_pass,
        "min": _estimate_choice,
        "max": _estimate_choice,
        "distinct": _estimate_distinct,
    }
    for name, kinds in LIST_FUNCTIONS.items():
        for kind in kinds:
            FUNCTION_COSTS.update(dict.fromkeys(name_overloads(name, kind), estimates[name]))
    for kind in ("int", "uint", "double"):
        FUNCTION_COSTS.update(dict.fromkeys((f"math_@min_list_{kind}", f"math_@max_list_{kind}"), _estimate_pass))


_fill()
