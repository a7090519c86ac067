"""From a tree to the text of a Python expression, in one of two forms: fast, or exact about absorbed errors.

fast: `and`, `or`, all() and any() of Python; right whenever nothing is raised. exact: `&&`, `||`, all and exists try
every operand, so that an error on one side is absorbed when the other side decides.
"""

from fillip.core.pattern import Pattern, read_pattern
from fillip.core.rule.operations import TEMPLATES
from fillip.core.rule.tree import Call, Const, Entries, Fold, Has, Items, Name, Node, Select, walk

ABSORBING = frozenset({"logical_and", "logical_or"})
_FAST = {"all": "all({test} for {name} in {over})", "exists": "any({test} for {name} in {over})"}
_EXACT = {"all": "absorb_all({over}, lambda {name}: {test})", "exists": "absorb_any({over}, lambda {name}: {test})"}
_EITHER = {
    "exists_one": "(sum(1 for {name} in {over} if {test}) == 1)",
    "map": "[{make} for {name} in {over} if {test}]",
    "filter": "[{make} for {name} in {over} if {test}]",
}


def absorbs(root: Node) -> bool:
    """Whether an error somewhere in the tree can be absorbed, so that fast and exact may differ."""
    return any(
        (isinstance(node, Call) and node.overload in ABSORBING) or (isinstance(node, Fold) and node.kind in _FAST)
        for node in walk(root)
    )


class Writer:
    """Writes one expression; variables of folds get numbers, so that no name of the rule's author meets ours."""

    def __init__(self, *, exact: bool) -> None:
        self.exact = exact
        self.count = 0
        self.patterns: list[Pattern] = []  # of the name `patterns` in what is written
        self.scope = {name: name for name in ("event", "user", "cohorts", "lists", "start", "progress")}

    def write(self, node: Node) -> str:
        """The expression's text."""
        written: str = getattr(self, f"_write_{type(node).__name__.lower()}")(node)
        return written

    def _write_bool(self, node: Node) -> str:
        """The same, raising TypeError where a bool is needed and null may come."""
        return f"need_bool({self.write(node)})" if _may_be_null(node) else self.write(node)

    def write_result(self, node: Node) -> str:
        """The whole rule's expression: raises TypeError where its value is null."""
        return f"need({self.write(node)})" if _may_be_null(node) else self.write(node)

    def _write_const(self, node: Const) -> str:
        return f"({node.value!r})" if isinstance(node.value, int | float) else repr(node.value)

    def _write_name(self, node: Name) -> str:
        name = self.scope[node.name]
        return "sorted(cohorts)" if name == "cohorts" else name

    def _write_select(self, node: Select | Has) -> str:
        written = f"{self.write(node.operand)}[{node.field!r}]"
        return f"{written}.items" if self._is_lists(node.operand) else written

    def _is_lists(self, node: Node) -> bool:
        return isinstance(node, Name) and self.scope[node.name] == "lists"

    def _write_has(self, node: Has) -> str:
        if node.operand.type.kind == "map":
            return f"({node.field!r} in {self.write(node.operand)})"
        return f"is_set({self._write_select(node)})"

    def _write_items(self, node: Items) -> str:
        return f"[{', '.join(map(self.write, node.items))}]"

    def _write_entries(self, node: Entries) -> str:
        return f"build_map({', '.join(map(self.write, node.pairs))})"

    def _write_call(self, node: Call) -> str:
        special = getattr(self, f"_write_{node.overload}", None)
        if special is not None:
            written: str = special(*node.args)
            return written
        return TEMPLATES[node.overload].format(*map(self.write, node.args))

    def _write_logical_and(self, left: Node, right: Node) -> str:
        return self._write_logic("and", left, right)

    def _write_logical_or(self, left: Node, right: Node) -> str:
        return self._write_logic("or", left, right)

    def _write_logic(self, word: str, left: Node, right: Node) -> str:
        one, other = self._write_bool(left), self._write_bool(right)
        return f"absorb_{word}(lambda: {one}, lambda: {other})" if self.exact else f"({one} {word} {other})"

    def _write_logical_not(self, operand: Node) -> str:
        return f"(not {self._write_bool(operand)})"

    def _write_conditional(self, test: Node, yes: Node, no: Node) -> str:
        return f"({self.write(yes)} if {self._write_bool(test)} else {self.write(no)})"

    def _write_equals(self, left: Node, right: Node) -> str:
        one, other = self.write(left), self.write(right)
        if any(node.type.parts and node.type.holds("double") for node in (left, right)):
            return f"is_same({one}, {other})"
        return f"({one} == {other})"

    def _write_not_equals(self, left: Node, right: Node) -> str:
        return f"(not {self._write_equals(left, right)})"

    def _write_in_list(self, value: Node, items: Node) -> str:
        if isinstance(items, Items) and items.items and all(isinstance(item, Const) for item in items.items):
            return f"({self.write(value)} in {{{', '.join(map(self.write, items.items))}}})"
        if isinstance(items, Name) and self.scope[items.name] == "cohorts":
            return f"({self.write(value)} in cohorts)"  # a set, where all else reads it as a sorted list
        if isinstance(items, Select) and self._is_lists(items.operand):
            return f"({self.write(value)} in {self.write(items.operand)}[{items.field!r}].members)"
        if items.type.holds("double"):
            return f"is_among({self.write(value)}, {self.write(items)})"
        return f"({self.write(value)} in {self.write(items)})"

    def _write_matches(self, text: Node, pattern: Node) -> str:
        assert isinstance(pattern, Const), "the decoder lets no other pass"
        self.patterns.append(read_pattern(str(pattern.value)))
        return f"find_pattern(patterns[{len(self.patterns) - 1}], {self.write(text)})"

    _write_matches_string = _write_matches

    def _write_fold(self, node: Fold) -> str:
        over, outer = f"spend(budget, {self.write(node.over)})", dict(self.scope)
        self.count += 1
        name = self.scope[node.variable] = f"v{self.count}"
        test = self._write_bool(node.test) if node.test else "True"
        make = self.write(node.make) if node.make else ""
        self.scope = outer
        form = (_EXACT if self.exact else _FAST).get(node.kind) or _EITHER[node.kind]
        return form.format(test=test, name=name, over=over, make=make)


def _may_be_null(node: Node) -> bool:
    """False where null cannot come; true is only slower. Both arms of `?:` count: the checker unboxes their type."""
    if isinstance(node, Call):
        if node.overload == "conditional":
            return any(map(_may_be_null, node.args[1:]))
        return node.overload in ("index_list", "index_map")
    if isinstance(node, Select):
        return node.type.boxed or node.type.kind == "timestamp" or node.operand.type.kind == "map"
    return not isinstance(node, Const | Has | Fold | Items | Entries) or node.type.kind == "null"
