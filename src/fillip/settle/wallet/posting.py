"""What a batch's grants post to wallets. Pure."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from uuid import UUID

from msgspec import Struct

from fillip.core.ledger.points import PointsReversal, PointsToReverse, WalletKey, identify_reversal
from fillip.core.ledger.settlement import GrantRequest, Settled
from fillip.core.ledger.wallet import Wallet

Posting = Settled | tuple[PointsToReverse, datetime]
"""What a grant request came to, or what a reversal takes back, and when."""


class Terms(Struct, frozen=True):
    """What takings go by besides their wallets: floors by (tenant, currency), and what was taken before, by transfer."""

    floors: Mapping[tuple[str, str], int | None] = {}
    done: Mapping[UUID, int] = {}

    def __or__(self, other: "Terms") -> "Terms":
        """Both."""
        return Terms({**self.floors, **other.floors}, {**self.done, **other.done})

    def take(self, wallet: Wallet, taking: PointsToReverse, at: datetime) -> PointsReversal:
        """Take points back in a wallet that has the lots it needs; what was done before is not done again."""
        if (before := self.done.get(identify_reversal(taking))) is not None:
            return PointsReversal(before, taking.amount - before)
        return wallet.take_back(taking, at, self.floors.get((wallet.key[0], wallet.key[2])))


def list_wallets(requests: Iterable[GrantRequest]) -> list[WalletKey]:
    """The wallets that these requests may post to, sorted and each once."""
    keys = set()
    for request in requests:
        wallets = request.campaign_version.wallets
        keys |= {(*request.user, wallets[index]) for index in request.rewards if index in wallets}
    return sorted(keys)


def post_points(settled: Iterable[Settled], wallets: Mapping[WalletKey, Wallet]) -> None:
    """Grant each incentive that goes into a wallet, in the order of the decisions."""
    for done in settled:
        for made in done.incentives:
            version, event = done.request.campaign_version, done.request.match.event
            currency, value = version.wallets.get(made.reward_index), done.request.values[made.reward_index]
            if currency and value > 0:
                reward = version.campaign.rewards[made.reward_index]
                wallets[*done.request.user, currency].grant(
                    incentive_id=made.incentive_id,
                    amount=value,
                    at=done.decision.decided_at,
                    available_at=reward.find_available(
                        event.occurred_at, event.book.tenant.time_zone, event.user_time_zone
                    ),
                    expires_at=reward.expire_at(event.occurred_at, event.book.tenant, event.user_time_zone),
                )


def post_in_turn(
    postings: Iterable[Posting], wallets: Mapping[WalletKey, Wallet], terms: Terms
) -> dict[tuple[UUID, UUID], int]:
    """Grant points and take them back, in order; what was short, by (reversal, incentive)."""
    short = {}
    for each in postings:
        if isinstance(each, Settled):
            post_points([each], wallets)
            continue
        taking, at = each
        taken = terms.take(wallets[taking.wallet], taking, at)
        if taken.short:
            short[taking.reversal, taking.incentive_id] = taken.short
    return short
