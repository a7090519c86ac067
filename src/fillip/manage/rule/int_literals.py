"""Int literals beside doubles: `event.amount >= 500` is meant as `500.0`, but CEL has no such overload."""

import re
from bisect import bisect_left
from collections.abc import Iterator

from google.protobuf.message import Message

from fillip.core.rule import checked_pb2 as wire

_DIGITS = re.compile(r"-?\s*\d+(?![\dxXuU.eE])")
_ARITHMETIC = frozenset({"_+_", "_-_", "_*_", "_/_", "-_"})
_ADDED = ".0"


class Patch:
    """A source with `.0` behind some of its int literals; gives the text, and the source's offset of a place in it."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.text = source
        self._ends: set[int] = set()  # in the source: where a literal that was widened ends
        self._added_at: list[int] = []  # in the text

    def widen(self, offsets: set[int]) -> bool:
        """Widens the int literals at these offsets of the text; whether there was any."""
        found = [_DIGITS.match(self.text, offset) for offset in offsets]
        ends = {self.restore(match.end()) for match in found if match} - self._ends
        self._ends |= ends
        ordered = sorted(self._ends)
        pieces = [self.source[a:b] for a, b in zip([0, *ordered], [*ordered, len(self.source)], strict=True)]
        self.text = _ADDED.join(pieces)
        self._added_at = [end + index * len(_ADDED) for index, end in enumerate(ordered)]
        return bool(ends)

    def restore(self, offset: int) -> int:
        """The source's offset of an offset in the text."""
        return offset - len(_ADDED) * bisect_left(self._added_at, offset)


def list_int_literals(parsed: wire.ParsedExpr, places: set[int]) -> set[int]:
    """Offsets of the int literals among the operands of the calls at `places`."""
    positions = parsed.source_info.positions
    return {
        positions[literal.id]
        for expr in walk_expressions(parsed.expr)
        if expr.HasField("call_expr") and positions.get(expr.id) in places
        for argument in expr.call_expr.args
        for literal in _list_literals(argument)
        if literal.id in positions
    }


def walk_expressions(message: Message) -> Iterator[wire.Expr]:
    """Every expression in a message, from above."""
    if isinstance(message, wire.Expr):
        yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in [value] if isinstance(value, Message) else value:
                yield from walk_expressions(part)


def _list_literals(expr: wire.Expr) -> list[wire.Expr]:
    """The int literals that give the expression its type; none where something else does too."""
    shape = expr.WhichOneof("expr_kind")
    if shape == "const_expr":
        return [expr] if expr.const_expr.WhichOneof("constant_kind") == "int64_value" else []
    if shape == "list_expr":
        return [literal for item in expr.list_expr.elements for literal in _list_literals(item)]
    if shape != "call_expr":
        return []
    if expr.call_expr.function == "_?_:_":
        return [literal for branch in expr.call_expr.args[1:] for literal in _list_literals(branch)]
    parts = [_list_literals(argument) for argument in expr.call_expr.args]
    whole = expr.call_expr.function in _ARITHMETIC and all(parts)
    return [literal for part in parts for literal in part] if whole else []
