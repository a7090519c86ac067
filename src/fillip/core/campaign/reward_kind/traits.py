"""What can be said of a kind of reward. The rest of the core asks for these traits, never for a kind by its name."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Literal

from msgspec import Struct

from fillip.core.campaign.reward import Reward
from fillip.core.campaign.vocabulary import Vocabulary
from fillip.core.problem import Fault

StockRefusal = Literal["pool_empty", "already_held"]
"""Why a grant is denied for what it would take from stock."""
ListCurrencies = Callable[[str, Collection[str]], Sequence[str]]
"""(the tenant's currency, its currencies of points besides POINTS) → those that an amount may be in, the usual one first."""


def check_money(reward: Reward, at: str, vocabulary: Vocabulary) -> Iterator[Fault]:
    """Whether a currency, where one is named, is the tenant's. `at` is the reward's JSON pointer."""
    if reward.currency not in (None, vocabulary.currency):
        yield Fault(f"{at}/currency", f"must be the tenant's, {vocabulary.currency}: its money is of one currency")


class KindTraits(Struct, frozen=True):
    """What is true of all rewards of a kind. The defaults are of something that is given once, claimed, and taken back whole.

    `label` is the kind in a sentence.
    `check` finds what is wrong with such a reward when it is saved, besides what holds for all kinds.
    `members` are those of a reward that go with this kind only: of pending_for_s, available_at, available, pool and badge. What has a pool takes a
    code of it from stock; what has a badge is held once, until it is reversed.
    `list_currencies`: the value is an amount of one of these: it can't be 0, a reversal of a part takes a part of it, and a
    limit adds it up within its currency. None: it is no amount.
    `wallet` is the currency of the wallet that it is posted to, where the reward names none: there it expires, and from there
    it is taken back. None: it goes into no wallet.
    `unclaimable` says why it can't be claimed, if so.
    `refusals` says for each reason why stock refuses it what that means.
    """

    label: str
    check: Callable[[Reward, str, Vocabulary], Iterator[Fault]] = check_money
    members: tuple[str, ...] = ()
    list_currencies: ListCurrencies | None = None
    wallet: str | None = None
    unclaimable: str | None = None
    refusals: Mapping[StockRefusal, str] = {}

    def find_wallet(self, currency: str | None) -> str | None:
        """The currency of the wallet that a reward with this `currency` is posted to; None: to none."""
        return self.wallet and (currency or self.wallet)
