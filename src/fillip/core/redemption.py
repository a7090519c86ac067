"""Public codes: what anybody may enter, and which campaign it brings. A redemption is an event of Fillip's own. Pure."""

from collections.abc import Sequence

REDEMPTION = "fillip.redemption"
"""The action of an event that redeems a public code for a user; its data has the `code`, and what tells of the cart."""
REDEMPTION_SCHEMA: dict[str, object] = {
    "type": "object",
    "properties": {"code": {"type": "string", "maxLength": 64}},
    "required": ["code"],
}
"""Of redemptions, until the tenant says which attributes come with them."""


def fold_code(code: str) -> str:
    """What a code is compared by: as coupon codes are, without its case and the spaces around it."""
    return code.strip().lower()


def name_code(code: str) -> str:
    """Under which name a book has the triggers that redemptions of a code may fire: no action has a space in it."""
    return f"{REDEMPTION} {fold_code(code)}"


def takes_code(codes: Sequence[str], code: object) -> bool:
    """Whether this is one of these codes."""
    return isinstance(code, str) and fold_code(code) in map(fold_code, codes)


def check_redemption_schema(schema: object) -> bool:
    """Whether all events that a schema of redemptions lets through have a code that is a text."""
    if not isinstance(schema, dict):
        return False
    code = schema.get("properties", {}).get("code")
    return isinstance(code, dict) and code.get("type") == "string" and "code" in schema.get("required", ())
