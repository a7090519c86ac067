"""From the bytes of a CheckedExpr to a Tree; refuses, with the place, what lies outside the subset."""

from fillip.core.pattern import PatternRefused, read_pattern
from fillip.core.rule import checked_pb2 as wire
from fillip.core.rule.errors import RuleRefused
from fillip.core.rule.operations import TEMPLATES
from fillip.core.rule.tree import (
    Call,
    CelType,
    Const,
    Entries,
    Fold,
    FoldKind,
    Has,
    Items,
    Name,
    Node,
    Select,
    Tree,
    locate,
)

_PRIMITIVES = {1: "bool", 2: "int", 3: "uint", 4: "double", 5: "string", 6: "bytes"}
_WELL_KNOWN = {2: "timestamp", 3: "duration"}
_DYN = CelType("dyn")
_WRITTEN = {"math.@min": "math.least", "math.@max": "math.greatest"}
"""Functions that the checker's macros call by another name."""
_SHORT_CIRCUITS: dict[str, FoldKind] = {"_&&_": "all", "_||_": "exists"}


def decode_rule(checked: bytes) -> Tree:
    """The tree of a rule that the checker accepted.

    Raises RuleRefused for what the subset lacks, google.protobuf.message.DecodeError when the bytes are no CheckedExpr
    or nested deeper than protobuf reads.
    """
    expr = wire.CheckedExpr.FromString(checked)
    return Tree(_Decoder(expr).decode(expr.expr), tuple(expr.source_info.line_offsets))


class _Decoder:
    def __init__(self, checked: wire.CheckedExpr) -> None:
        self.types = checked.type_map
        self.references = checked.reference_map
        self.positions = checked.source_info.positions
        self.line_offsets = tuple(checked.source_info.line_offsets)

    def refuse(self, expr: wire.Expr, message: str) -> RuleRefused:
        return RuleRefused(*locate(self.line_offsets, self.positions.get(expr.id, 0)), message)

    def decode(self, expr: wire.Expr) -> Node:
        shape = expr.WhichOneof("expr_kind")
        if shape is None or expr.struct_expr.message_name:
            raise self.refuse(expr, "this kind of expression is not supported")
        node: Node = getattr(self, f"decode_{shape}")(expr, self.positions.get(expr.id, 0), self.read_type(expr))
        if node.type.holds("dyn"):
            raise self.refuse(expr, "the type of this is not known: all items of a list or map must have one type")
        return node

    def read_type(self, expr: wire.Expr) -> CelType:
        return read_type(self.types[expr.id]) if expr.id in self.types else _DYN

    def decode_const_expr(self, expr: wire.Expr, offset: int, type_: CelType) -> Node:
        shape = expr.const_expr.WhichOneof("constant_kind")
        if shape == "bytes_value":
            raise self.refuse(expr, "bytes are not supported")
        return Const(offset, type_, None if shape == "null_value" else getattr(expr.const_expr, shape))

    def decode_ident_expr(self, expr: wire.Expr, offset: int, type_: CelType) -> Node:
        if expr.id not in self.types or type_.kind == "dyn":
            raise self.refuse(expr, f"'{expr.ident_expr.name}' cannot be used as a value")
        return Name(offset, type_, expr.ident_expr.name)

    def decode_select_expr(self, expr: wire.Expr, offset: int, type_: CelType) -> Node:
        made = Has if expr.select_expr.test_only else Select
        return made(offset, type_, self.decode(expr.select_expr.operand), expr.select_expr.field)

    def decode_list_expr(self, expr: wire.Expr, offset: int, type_: CelType) -> Node:
        return Items(offset, type_, tuple(self.decode(item) for item in expr.list_expr.elements))

    def decode_struct_expr(self, expr: wire.Expr, offset: int, type_: CelType) -> Node:
        pairs = [self.decode(part) for entry in expr.struct_expr.entries for part in (entry.map_key, entry.value)]
        return Entries(offset, type_, tuple(pairs))

    def decode_call_expr(self, expr: wire.Expr, offset: int, type_: CelType) -> Node:
        call = expr.call_expr
        args = ([call.target] if call.HasField("target") else []) + list(call.args)
        name = _WRITTEN.get(call.function, call.function)
        overloads = self.references[expr.id].overload_id if expr.id in self.references else []
        supported = [overload for overload in overloads if overload in TEMPLATES]
        if len(overloads) != 1 or not supported:
            of = ", ".join(self.read_type(arg).kind for arg in args)
            mixed = ": give them one type, 5.0 beside doubles" if call.function in _WRITTEN else ""
            raise self.refuse(expr, f"function '{name}' of ({of}) is not supported{mixed}")
        node = Call(offset, type_, name, overloads[0], tuple(self.decode(arg) for arg in args))
        if call.function == "matches":
            self.check_pattern(args[-1])
        if node.overload in ("equals", "not_equals") and any(arg.type.holds("object") for arg in node.args):
            raise self.refuse(expr, "objects cannot be compared: compare their fields, or use has()")
        return node

    def check_pattern(self, expr: wire.Expr) -> None:
        if not expr.const_expr.HasField("string_value"):
            raise self.refuse(expr, "the pattern of matches() must be written out as a text")
        try:
            read_pattern(expr.const_expr.string_value)
        except PatternRefused as refused:
            raise self.refuse(expr, str(refused)) from None

    def decode_comprehension_expr(self, expr: wire.Expr, offset: int, type_: CelType) -> Node:
        fold = expr.comprehension_expr
        over, step = self.decode(fold.iter_range), fold.loop_step.call_expr
        kind = self.tell_fold(fold)
        test = make = None
        if kind in ("all", "exists"):
            test = self.decode(step.args[1])
        elif step.function == "_?_:_":
            test, step = self.decode(step.args[0]), step.args[1].call_expr
        if kind in ("map", "filter"):
            make = self.decode(step.args[1].list_expr.elements[0])
        return Fold(offset, type_, kind, fold.iter_var, over, test, make)

    def tell_fold(self, fold: wire.Expr.Comprehension) -> FoldKind:
        """Which macro the checker expanded: each has its own first value and step, as the CEL specification has it."""
        start, step = fold.accu_init, fold.loop_step.call_expr
        if start.HasField("const_expr") and start.const_expr.WhichOneof("constant_kind") == "bool_value":
            return _SHORT_CIRCUITS[step.function]
        if start.HasField("const_expr"):
            return "exists_one"
        if step.function != "_?_:_":
            return "map"
        made = step.args[1].call_expr.args[1].list_expr.elements[0]
        return "filter" if made.HasField("ident_expr") and made.ident_expr.name == fold.iter_var else "map"


def read_type(given: wire.Type) -> CelType:
    """Our form of a checker's type; what the subset lacks reads as dyn."""
    shape = given.WhichOneof("type_kind")
    if shape == "primitive":
        return CelType(_PRIMITIVES[given.primitive])
    if shape == "wrapper":
        return CelType(_PRIMITIVES[given.wrapper], boxed=True)
    if shape == "well_known":
        return CelType(_WELL_KNOWN.get(given.well_known, "dyn"))
    if shape == "list_type":
        return CelType("list", (read_type(given.list_type.elem_type),))
    if shape == "map_type":
        return CelType("map", (read_type(given.map_type.key_type), read_type(given.map_type.value_type)))
    return {"null": CelType("null"), "message_type": CelType("object")}.get(shape or "", _DYN)
