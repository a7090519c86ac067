"""Steps that count how many different values their events have: which were counted, in a form of one length. Pure.

An event of a value that was counted is kept with what it gave, and adds nothing: where the one before it is taken back, it
stands in its place (see core.quest.reversal).
"""

from base64 import urlsafe_b64encode
from collections.abc import Sequence
from hashlib import blake2b


def add_value(marks: Sequence[str], value: str) -> tuple[str, ...] | None:
    """The marks with that of one value more; None where it is among them."""
    mark = urlsafe_b64encode(blake2b(value.encode("utf-8", "surrogatepass"), digest_size=12).digest()).decode()
    return None if mark in marks else (*marks, mark)
