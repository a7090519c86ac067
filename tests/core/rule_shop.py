"""A shop's schema for the rule tests, its values for our compiler and the same as protobuf for Google's CEL."""

from typing import Any

from cel_expr_python import cel
from cel_expr_python.ext import ext_math, ext_strings
from google.protobuf import message_factory
from google.protobuf.message import Message

from fillip.core.named_list import MAX_LIST_ITEMS, NamedList
from fillip.core.rule import RuleRefused, compile_rule
from fillip.core.schema.coerce import build_coercer
from fillip.core.schema.types import Field, Kind, ListOf, ObjectType, Scalar, derive_type
from fillip.manage.rule.checker import check_rule
from fillip.manage.rule.descriptor import PACKAGE, build_pool
from tests.oracle.list_functions import FUNCTIONS

_TEXT: dict[str, Any] = {"type": "string"}
_PURCHASE: dict[str, dict[str, Any]] = {
    "qty": {"type": "integer"},
    "stock": {"type": ["integer", "null"]},
    "price": {"type": "number"},
    "rate": {"type": ["number", "null"]},
    "category": _TEXT,
    "coupon": {"type": ["string", "null"]},
    "gift": {"type": "boolean"},
    "member": {"type": ["boolean", "null"]},
    "at": {"type": "string", "format": "date-time"},
    "tags": {"type": "array", "items": _TEXT},
    "scores": {"type": "array", "items": {"type": "number"}},
    "lines": {
        "type": "array",
        "items": {
            "type": "object",
            "required": ["sku"],
            "properties": {"sku": _TEXT, "n": {"type": "integer"}},
        },
    },
}


def make_action(max_items: int, max_length: int | None = None) -> ObjectType:
    """The shop's purchase, with lists and texts that may be as long."""
    return derive_type(
        _bound({"type": "object", "required": list(_PURCHASE), "properties": _PURCHASE}, max_items, max_length)
    )


def _bound(schema: dict[str, Any], max_items: int, max_length: int | None) -> dict[str, Any]:
    made = schema | ({"maxItems": max_items} if schema["type"] == "array" else {})
    if "string" in schema["type"] and max_length is not None and "format" not in schema:
        made["maxLength"] = max_length
    if "items" in schema:
        made["items"] = _bound(schema["items"], max_items, max_length)
    if "properties" in schema:
        made["properties"] = {name: _bound(part, max_items, max_length) for name, part in schema["properties"].items()}
    return made


ACTION, WIDE = make_action(8, 40), make_action(256)
USER = derive_type(
    {"type": "object", "properties": {"tier": {"type": "string", "maxLength": 40}, "vip": {"type": "boolean"}}}
)

read_event = build_coercer(ACTION)
read_user = build_coercer(USER)

LISTS = {
    "words": NamedList(3, ["", "a", "toys", "é"]),
    "numbers": NamedList(4, [-7, 0, 2, 2**63 - 1]),
    "none": NamedList(5, []),
}
LIST_TYPES = ObjectType(
    tuple(
        Field(name, ListOf(Scalar(kind, nullable=False), MAX_LIST_ITEMS))
        for name, kind in (("words", Kind.STRING), ("numbers", Kind.INT), ("none", Kind.STRING))
    )
)

POOL = build_pool(event=ACTION, user=USER, lists=LIST_TYPES)
ENVIRONMENT = cel.NewEnv(
    descriptor_pool=POOL,
    variables={
        "event": cel.Type(f"{PACKAGE}.event"),
        "user": cel.Type(f"{PACKAGE}.user"),
        "cohorts": cel.Type.List(cel.Type.STRING),
        "lists": cel.Type(f"{PACKAGE}.lists"),
    },
    functions=FUNCTIONS,
    extensions=[ext_strings.ExtStrings(), ext_math.ExtMath()],
)
BASKET = {
    "qty": 2,
    "stock": None,
    "price": 9.5,
    "rate": None,
    "category": "toys",
    "coupon": None,
    "gift": False,
    "member": None,
    "at": "2026-03-01T12:00:00Z",
    "tags": ["red", "new"],
    "scores": [],
    "lines": [{"sku": "a", "n": 1}, {"sku": "b"}],
}


def run(source, event=None, user=None, cohorts=frozenset(), expect="bool"):
    """The rule's value for a basket with these changes, by our compiler."""
    rule = compile_rule(check(source, expect=expect), LISTS)
    return rule(read_event(BASKET | (event or {})), read_user(user or {}), cohorts)


def check(source, **expected):
    """The rule's checked bytes; it may read LISTS."""
    return check_rule(source, ACTION, USER, lists=LIST_TYPES, **expected).checked


def is_taken(source: str) -> bool:
    """Whether a generated rule, whose types are right, may be saved: it is not too dear, and no text that is written out is to be an instant
    or a span that it is not.
    """
    try:
        check(source)
    except RuleRefused as refused:
        if "may cost" in refused.message or refused.message.startswith(("not a date-time", "not a duration")):
            return False
        raise
    return True


def build_message(name: str, shape: ObjectType, attributes: dict[str, Any]) -> Message:
    """The attributes as the protobuf message that Google's CEL reads."""
    message = message_factory.GetMessageClass(POOL.FindMessageTypeByName(f"{PACKAGE}.{name}"))()
    _fill(message, shape, attributes)
    return message


def _fill(message, shape: ObjectType, attributes) -> None:
    for field in shape.fields:
        value = attributes.get(field.name)
        if value is None:
            continue
        target = getattr(message, field.name)
        if isinstance(field.type, ListOf) and isinstance(field.type.element, ObjectType):
            for item in value:
                _fill(target.add(), field.type.element, item)
        elif isinstance(field.type, ListOf):
            target.extend(value)
        elif isinstance(field.type, Scalar) and field.type.kind == "timestamp":
            target.FromJsonString(value)
        elif isinstance(field.type, Scalar) and field.type.nullable:
            target.value = value
            target.SetInParent()
        else:
            setattr(message, field.name, value)


LIST_MESSAGE = build_message("lists", LIST_TYPES, {name: each.items for name, each in LISTS.items()})
