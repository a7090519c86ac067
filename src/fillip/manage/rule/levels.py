"""What a rule says of levels: the names that it compares one with, which must be of the ladder when it is saved.

A level is a text to the rule language: misspelt it equals none, and by order texts go by their letters.
"""

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches

from fillip.core.rule import RuleRefused
from fillip.core.rule.tree import Call, Const, Entries, Items, Node, Tree, list_reads, walk

Ladders = Mapping[str, Sequence[str]]
"""By attribute of users, the names of the levels that rules read in it, the lowest first."""
_LOOKS_LIKE = 0.6
_EQUALS = frozenset({"equals", "not_equals"})
_MIRROR = {"less": "greater", "less_equals": "greater_equals", "greater": "less", "greater_equals": "less_equals"}
_ORDERS = {f"{order}_string": order for order in _MIRROR}


def find_read(tree: Tree, attribute: str) -> int | None:
    """Where a rule first reads an attribute of users, None where it does not."""
    return next((node.offset for name, node in _list_reads(tree) if name == attribute), None)


def refuse_unknown_levels(tree: Tree, ladders: Ladders) -> None:
    """Raise RuleRefused where a rule names a level that its ladder does not have, or compares levels by order.

    Seen are names beside `==`, `!=`, in a list that is written out, and as keys of a map; what a named list holds is not.
    """
    of_levels = {id(node): name for name, node in _list_reads(tree) if name in ladders}
    if not of_levels:
        return
    for node in walk(tree.root):
        if not isinstance(node, Call):
            continue
        for level, name in _list_names(node):
            attribute = of_levels.get(id(_strip(level)))
            if attribute is not None and name.value not in ladders[attribute]:
                raise RuleRefused(*tree.locate(name.offset), _explain(name, attribute, ladders[attribute]))
        if node.overload in _ORDERS:
            for side, other in (node.args, node.args[::-1]):
                attribute = of_levels.get(id(_strip(side)))
                if attribute is not None:
                    order = _ORDERS[node.overload]
                    order = order if side is node.args[0] else _MIRROR[order]
                    raise RuleRefused(*tree.locate(node.offset), _cure(order, other, attribute, ladders[attribute]))


def _list_reads(tree: Tree) -> Iterator[tuple[str, Node]]:
    for path, node in list_reads(tree.root):
        root, _, name = path.partition(".")
        if root == "user" and name:
            yield name, node


def _strip(node: Node) -> Node:
    """A level by itself, where one is given for who has none: every user has one."""
    return node.args[0] if isinstance(node, Call) and node.overload == "or_value_string" else node


def _list_names(call: Call) -> Iterator[tuple[Node, Const]]:
    """What may be a level, with each text that this compares it with."""
    if call.overload in _EQUALS or call.overload in _ORDERS:
        pairs = [(call.args[0], [call.args[1]]), (call.args[1], [call.args[0]])]
    elif call.overload == "in_list" and isinstance(call.args[1], Items):
        pairs = [(call.args[0], [*call.args[1].items])]
    elif call.overload == "in_map" and isinstance(call.args[1], Entries):
        pairs = [(call.args[0], [*call.args[1].pairs[::2]])]
    elif call.overload == "index_map" and isinstance(call.args[0], Entries):
        pairs = [(call.args[1], [*call.args[0].pairs[::2]])]
    else:
        return
    for level, others in pairs:
        for other in others:
            if isinstance(other, Const) and isinstance(other.value, str):
                yield level, other


def _explain(name: Const, attribute: str, levels: Sequence[str]) -> str:
    near = get_close_matches(str(name.value), levels, 1, _LOOKS_LIKE)
    hint = f": do you mean '{near[0]}'?" if near else ""
    return f"'{str(name.value)[:40]}' is no level of 'user.{attribute}', which are {', '.join(levels)}{hint}"


def _cure(order: str, other: Node, attribute: str, levels: Sequence[str]) -> str:
    """How to say what was meant by an order of `user.attribute` against `other`."""
    message = f"'user.{attribute}' is a level, and would be compared by its letters"
    if not isinstance(other, Const) or other.value not in levels:
        return f"{message}: write `user.{attribute} in [...]` with the levels that are meant"
    place = levels.index(str(other.value))
    meant = {
        "less": levels[:place],
        "less_equals": levels[: place + 1],
        "greater": levels[place + 1 :],
        "greater_equals": levels[place:],
    }[order]
    names = ", ".join(f'"{name}"' for name in meant)
    return f"{message}: write `user.{attribute} in [{names}]`" if names else f"{message}, and no level is meant"
