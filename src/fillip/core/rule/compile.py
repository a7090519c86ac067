"""From checked bytes to a Python function. Two code objects a rule: fast, and exact for when fast raised."""

from collections.abc import Callable, Mapping, Set
from typing import Any, Protocol, cast

from fillip.core.named_list import NO_LISTS, Lists
from fillip.core.rule import run
from fillip.core.rule.decode import decode_rule
from fillip.core.rule.emit import Writer, absorbs
from fillip.core.rule.errors import RuleError
from fillip.core.rule.operations import NAMESPACE
from fillip.core.rule.tree import CelType, Items, Node

_FAST = """
def rule(event, user, cohorts, start=None, progress=None):
    try:
        {budget}
        return {value}
    except Exception as error:
        return fall_back(error, event, user, cohorts, start, progress)
"""
_EXACT = """
def rule(event, user, cohorts, start=None, progress=None):
    {budget}
    return {value}
"""
_BUDGET = f"budget = [{run.MAX_ITEMS}]"
_NAMES: dict[str, Any] = {
    **NAMESPACE,
    **{name: getattr(run, name) for name in ("is_set", "spend", "absorb_and", "absorb_or", "absorb_all", "absorb_any")},
    "Exception": Exception,
}


class Rule(Protocol):
    """A compiled rule. Takes coerced attributes (fillip.core.schema.coerce) and the user's cohorts.

    Returns a bool for conditions, an int or str for key expressions; never null. Raises RuleError where CEL's answer
    is an error: no match. May be called from several threads.
    """

    def __call__(
        self,
        event: Mapping[str, object],
        user: Mapping[str, object],
        cohorts: Set[str],
        start: Mapping[str, object] | None = None,
        progress: Mapping[str, object] | None = None,
        /,
    ) -> bool | int | str:
        """The rule's value for one event."""


def compile_rule(checked: bytes, lists: Lists = NO_LISTS) -> Rule:
    """The function of a rule that `fillip.manage.rule.checker.check_rule` accepted; about 0.3 ms, so once per version.

    The named lists that it reads are constants of it: it has to be compiled anew when one of them changes.
    Raises RuleRefused for what the subset lacks, DecodeError for bytes that are no checked rule.
    """
    return compile_node(decode_rule(checked).root, lists)


def compile_node(root: Node, lists: Lists = NO_LISTS) -> Rule:
    """As compile_rule, of a decoded rule or a part of one."""
    return build_fast(root, build_exact(root, lists) if absorbs(root) else None, lists)


def compile_value(node: Node, lists: Lists = NO_LISTS) -> Callable[..., list[object]]:
    """As compile_node, of a part whose value may be null: it comes in a list of one."""
    boxed = Items(node.offset, CelType("list", (node.type,)), (node,))
    return cast(Callable[..., list[object]], compile_node(boxed, lists))


def prove_compiles(root: Node) -> None:
    """Compile both forms of a rule once: what passes here compiles in every worker.

    Raises SyntaxError, RecursionError or MemoryError where Python's compiler finds it too deep.
    """
    for form, exact in ((_FAST, False), (_EXACT, True)):
        _build(form, root, {}, exact=exact)


def build_fast(root: Node, exact: Rule | None, lists: Lists = NO_LISTS) -> Rule:
    """The rule in its fast form; when it raises, `exact` decides, or the error stands."""

    def fall_back(error: Exception, *values: object) -> bool | int | str:
        if exact is not None and not isinstance(error, RuleError):
            return _call(exact, values)
        raise describe_error(error) from error

    return _build(_FAST, root, {"fall_back": fall_back, "lists": lists}, exact=False)


def build_exact(root: Node, lists: Lists = NO_LISTS) -> Rule:
    """The rule in its exact form, its code made at the first call: most rules never need it."""
    made: list[Rule] = []

    def exact(*values: object) -> bool | int | str:
        if not made:
            made.append(_build(_EXACT, root, {"lists": lists}, exact=True))
        try:
            return _call(made[0], values)
        except Exception as error:
            raise describe_error(error) from error

    return cast(Rule, exact)


def _call(rule: Callable[..., bool | int | str], values: tuple[object, ...]) -> bool | int | str:
    return rule(*values)


def _build(form: str, root: Node, names: dict[str, Any], *, exact: bool) -> Rule:
    writer = Writer(exact=exact)
    value = writer.write_result(root)
    text = form.format(budget=_BUDGET if "spend(budget" in value else "pass", value=value)
    namespace: dict[str, Any] = {**_NAMES, **names, "patterns": writer.patterns}
    exec(compile(text, "<rule>", "exec"), namespace)  # noqa: S102 - our own text: names numbered, constants by repr
    return cast(Rule, namespace["rule"])


def describe_error(error: Exception) -> RuleError:
    """The error as a person reads it: what CEL would call it."""
    if isinstance(error, RuleError):
        return error
    if isinstance(error, KeyError):
        return RuleError(f"no such key: {error.args[0]!r}")
    if isinstance(error, IndexError):
        return RuleError("index outside the list")
    if isinstance(error, TypeError | AttributeError):
        return RuleError("a value that is needed is null")
    return RuleError(str(error))
