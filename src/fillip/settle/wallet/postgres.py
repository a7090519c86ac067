"""Wallets in the ledger's transaction, as role fillip_worker: for reversals, and for the sweep."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from fillip.core.ledger.points import PointsToReverse, WalletKey, identify_reversal
from fillip.core.ledger.wallet import Wallet
from fillip.rows.columns import to_columns
from fillip.rows.wallet.postgres import WalletRows
from fillip.settle.wallet.posting import Terms

SQL = {path.stem: path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("*.sql")}


class PostgresWallets(WalletRows):
    """The wallets of a batch, or of a portion of the sweep."""

    async def move_due(self, keys: Sequence[WalletKey], at: datetime) -> int:
        """Bring those of these wallets (sorted) that nobody holds up to `at`, and let a page of their lots pay what draws
        are owed; how many transfers and payments that made.
        """
        wallets = await self.lock_free(keys)
        await self.mature(wallets, at)
        draws = await self.read_draws(wallets)
        if draws:
            await self.open_pages(wallets, {key: some[0].since for key, some in draws.items()})
        for key, some in draws.items():
            wallets[key].pay_draws([draw for draw in some if draw.since == some[0].since], at)
        await self.store(wallets.values())
        await self._connection.fetch(SQL["set_due"], *to_columns(wallets, 3), at)
        return sum(len(wallet.transfers) + len(wallet.parts) for wallet in wallets.values())

    async def prepare(
        self, wallets: Mapping[WalletKey, Wallet], takings: Sequence[PointsToReverse], at: datetime
    ) -> Terms:
        """Bring the wallets of these takings, which are locked, up to `at`, and hand them the lots and draws that are needed;
        what else the takings go by.
        """
        wanted = {taking.wallet: wallets[taking.wallet] for taking in takings}
        await self.mature(wanted, at)
        await self.name_lots(wanted, [(taking.wallet[0], taking.incentive_id) for taking in takings], at)
        owing = [key for key, wallet in wanted.items() if wallet.balance.owed]
        for key, draws in (await self.read_draws(owing)).items():
            wanted[key].draws = {draw.transfer_id: draw for draw in draws} | wanted[key].draws
        currencies = {(tenant, currency) for tenant, _, currency in wanted}
        floors = await self._connection.fetch(SQL["read_floors"], *to_columns(currencies, 2))
        transfers = [(taking.wallet[0], identify_reversal(taking)) for taking in takings]
        amounts = await self._connection.fetch(SQL["read_transfers"], *to_columns(transfers, 2))
        return Terms(
            floors={(row["tenant_id"], row["currency"]): row["floor"] for row in floors},
            done={row["transfer_id"]: row["amount"] for row in amounts},
        )

    async def write(self, wallets: Iterable[Wallet]) -> None:
        """Store what was moved in locked wallets. Raises Retry when another writer made one of them first."""
        await self.store(wallet for wallet in wallets if wallet.transfers)
