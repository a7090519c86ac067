"""What a batch's grants post to wallets. Pure."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from fillip.core.event import Event
from fillip.core.settlement import Claim, Settled
from fillip.core.wallet import POINTS, Wallet, WalletKey


def list_wallets(claims: Iterable[Claim]) -> list[WalletKey]:
    """The wallets that these claims may post to, sorted and each once."""
    return sorted(
        {
            (*claim.user, reward.currency or POINTS)
            for claim in claims
            for reward in claim.entry.campaign.rewards
            if reward.kind == "points"
        }
    )


def post_points(settled: Iterable[Settled], wallets: Mapping[WalletKey, Wallet]) -> None:
    """Grant each incentive of points into its wallet, in the order of the decisions."""
    for done in settled:
        for incentive_id, index, _ in done.incentives:
            reward, value = done.claim.entry.campaign.rewards[index], done.claim.values[index]
            if reward.kind == "points" and value > 0:
                event, wallet = done.claim.match.event, wallets[*done.claim.user, reward.currency or POINTS]
                available_at, expires_at = _after(event, reward.pending_for_s), reward.expire_at(event)
                wallet.grant(incentive_id, value, done.decision.decided_at, available_at, expires_at)


def _after(event: Event, span_s: int | None) -> datetime | None:
    return event.occurred_at + timedelta(seconds=span_s) if span_s else None
