"""The same rule by other evaluators in the same run: what one would embed otherwise."""

from collections.abc import Callable, Mapping
from typing import Any

import cel as rust
import zen
from cel_expr_python import cel
from google.protobuf import message_factory
from google.protobuf.descriptor_pool import DescriptorPool

from fillip.core.schema.types import ObjectType
from fillip.manage.rule.descriptor import PACKAGE, build_pool


def list_rivals(
    source: str, action: ObjectType, user: ObjectType, event: Mapping[str, Any], attributes: Mapping[str, Any]
) -> dict[str, Callable[[], object]]:
    """A call by the name of each rival: the rule on one event whose values are plain, as decoded from JSON.

    Each is parsed beforehand; what an evaluator makes of the event's dict at every call is part of its cost, but for
    cel-expr-python, which is given messages and an activation that were built before.
    """
    scope = {"event": event, "user": attributes}
    program, decision = rust.compile(source), zen.compile_expression(source.replace("&&", "and"))
    context = rust.Context(scope)
    pool = build_pool(event=action, user=user)
    types = {name: cel.Type(f"{PACKAGE}.{name}") for name in scope}
    environment = cel.NewEnv(descriptor_pool=pool, variables=types)
    expression = environment.compile(source)
    bound = {"event": make_message(pool, "event", event), "user": make_message(pool, "user", attributes)}
    return {
        "zen-engine": lambda: decision.evaluate(scope),
        "common-expression-language": lambda: program.execute(scope),
        "common-expression-language, context built before": lambda: program.execute(context),
        "cel-expr-python, messages built before": lambda: expression.eval(data=bound).value(),
    }


def make_message(pool: DescriptorPool, name: str, values: Mapping[str, Any]) -> object:
    """The protobuf message of attributes that are scalars or lists of them."""
    message = message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))()
    for field, value in values.items():
        target = getattr(message, field)
        if isinstance(value, list):
            target.extend(value)
        elif hasattr(target, "SetInParent"):
            target.value = value
        else:
            setattr(message, field, value)
    return message
