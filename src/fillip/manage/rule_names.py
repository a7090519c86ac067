"""What the literals of a rule name: time zones, which must be known when it is saved."""

from fillip.core.instant import find_zone
from fillip.core.rule import RuleRefused
from fillip.core.rule.tree import Call, Const, Tree, walk


def refuse_unknown_zones(tree: Tree) -> None:
    """Raise RuleRefused where a time zone that is written out is none: the rule would fail for every event."""
    for node in walk(tree.root):
        if isinstance(node, Call) and node.overload.startswith("timestamp_to_") and len(node.args) > 1:
            zone = node.args[1]
            if isinstance(zone, Const):
                try:
                    find_zone(str(zone.value))
                except ValueError as unknown:
                    message = f"{unknown}; name one of IANA's such as Europe/Berlin, or an offset such as +02:00"
                    raise RuleRefused(*tree.locate(zone.offset), message) from None
