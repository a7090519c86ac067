"""What is refused of a wallet."""

from fillip.core.ledger.hold import HoldRefused
from fillip.core.ledger.wallet import Wallet
from fillip.http.errors import Conflict, HttpRefused

_GONE = 410


class NotEnough(Conflict):
    """409: the wallet has fewer points than asked for; nothing was moved."""

    kind = "not-enough-points"

    def __init__(self, wallet: Wallet, amount: int) -> None:
        there = max(wallet.balance.active, 0)
        super().__init__(f"{amount} {wallet.key[2]} are asked for, {there} can be spent", at="/amount")


class TooManyLots(Conflict):
    """409: so many points lie in more lots than go to another user at once; nothing was moved."""

    kind = "too-many-lots"


class HoldNotNow(HttpRefused):
    """409 or 410: why a hold can't be captured or voided."""

    status = 409

    def __init__(self, refused: HoldRefused) -> None:
        super().__init__(str(refused), at=refused.at)
        self.kind = refused.kind
        if refused.kind == "hold-timed-out":
            self.status = _GONE
