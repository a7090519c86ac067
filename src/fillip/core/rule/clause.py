"""The clauses of a condition: what stands between its `&&`, `||` and `!`, with its own text and place."""

from collections.abc import Iterator
from dataclasses import dataclass

from fillip.core.rule.tree import Call, Node

_LOGIC = ("logical_and", "logical_or")


@dataclass(frozen=True, slots=True)
class Clause:
    """One leaf: `offset` is where its `text` begins; `wanted` is false under an odd number of `!`."""

    offset: int
    text: str
    node: Node
    wanted: bool


def list_clauses(source: str, root: Node) -> list[Clause]:
    """The clauses in the order of the source; the whole rule is one where it is no condition."""
    parts = list(_split(root, True))
    marks = [0] + [part for part in parts if isinstance(part, int)] + [len(source)]
    clauses = []
    for index, (leaf, wanted) in enumerate(part for part in parts if not isinstance(part, int)):
        begin, text = _cut(source, marks[index] + (2 if index else 0), marks[index + 1])
        clauses.append(Clause(begin, text, leaf, wanted))
    return clauses


def _split(node: Node, wanted: bool) -> Iterator[tuple[Node, bool] | int]:
    """Leaves, with the offset of the operator between each two: that is where the one ends and the other begins."""
    if isinstance(node, Call) and node.overload in _LOGIC:
        yield from _split(node.args[0], wanted)
        yield node.offset
        yield from _split(node.args[1], wanted)
    elif isinstance(node, Call) and node.overload == "logical_not":
        yield from _split(node.args[0], not wanted)
    else:
        yield node, wanted


def _cut(source: str, begin: int, end: int) -> tuple[int, str]:
    """The leaf's own text: without blanks, `!`, and parentheses that the slice opens but does not close."""
    text = source[begin:end]
    depth, lowest = _weigh(text)
    opened, closed = depth - lowest, -lowest
    while text and (text[0].isspace() or text[0] == "!" or (text[0] == "(" and (opened > 0 or _is_wrapped(text)))):
        if text[0] == "(":
            if opened == 0:
                text = text.rstrip()[:-1]
            opened -= opened > 0
        text, begin = text[1:], begin + 1
    text = text.rstrip()
    while closed > 0 and text.endswith(")"):
        text, closed = text[:-1].rstrip(), closed - 1
    return begin, text


def _weigh(text: str) -> tuple[int, int]:
    """(parentheses open at the end, lowest level reached), those in string literals left out."""
    depth, lowest, quote, skip = 0, 0, "", False
    for letter in text:
        if skip or quote:
            quote = "" if letter == quote and not skip else quote
            skip = letter == "\\" and not skip
        elif letter in "\"'":
            quote = letter
        elif letter in "()":
            depth += 1 if letter == "(" else -1
            lowest = min(lowest, depth)
    return depth, lowest


def _is_wrapped(text: str) -> bool:
    """Whether one pair of parentheses holds the whole text."""
    text = text.rstrip()
    return text.endswith(")") and _weigh(text[1:-1]) == (0, 0)
