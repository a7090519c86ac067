"""What may be refunded of a spend. Pure."""

from fillip.http.errors import Conflict

MAX_REFUNDS = 1_000
"""Of one spend; beyond them one of all that is left is still made."""


def ask_amount(spend_id: str, spent: int, left: int, amount: int | None, count: int) -> int:
    """What a new refund of `amount` (None: of all that is left) is of, of which `left` of the `spent` may be; raises Conflict."""
    of_spend = f"of the {spent} of spend '{spend_id}'"
    if not left:
        raise Conflict(f"nothing {of_spend} is left to be refunded")
    if amount and amount > left:
        raise Conflict(f"{left} {of_spend} are left to be refunded, {amount} are asked for", at="/amount")
    if count >= MAX_REFUNDS and amount not in (None, left):
        raise Conflict(f"a spend has at most {MAX_REFUNDS} refunds: refund all {left} that are left", at="/amount")
    return amount or left
