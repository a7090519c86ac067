"""Wallets: what each operation moves, told as stories."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from fillip.core.wallet import Balance, Taken, Taking, Wallet

KEY = ("acme", "ada", "POINTS")
T0 = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
X, Y, Z = UUID(int=1), UUID(int=2), UUID(int=3)


def open_wallet() -> Wallet:
    return Wallet(KEY, None)


def grant(wallet: Wallet, lot: UUID, amount: int, *, pending: timedelta | None = None, lasts: timedelta | None = None):
    wallet.grant(lot, amount, T0, T0 + pending if pending else None, T0 + lasts if lasts else None)


def spend(wallet: Wallet, amount: int, number: int = 900, at: datetime = T0) -> bool:
    return wallet.spend(UUID(int=number), f"s{number}", amount, at)


def take_back(wallet: Wallet, lot: UUID, amount: int, name: str = "r1", at: datetime = T0, floor: int | None = None):
    return wallet.take_back(Taking(KEY, name, lot, amount), at, floor)


def left(wallet: Wallet) -> dict[UUID, int]:
    return {lot.lot_id: lot.remaining for lot in wallet.lots.values()}


def test_earliest_expiry_is_spent_first_and_ties_by_age():
    wallet = open_wallet()
    grant(wallet, X, 10)
    grant(wallet, Y, 10, lasts=2 * DAY)
    grant(wallet, Z, 10, lasts=2 * DAY)
    assert spend(wallet, 15)
    assert left(wallet) == {X: 10, Y: 0, Z: 5}


def test_pending_points_cannot_be_spent_before_their_time_nor_expired_ones_after_it():
    wallet = open_wallet()
    grant(wallet, X, 10, pending=DAY, lasts=3 * DAY)
    assert not spend(wallet, 1)
    assert spend(wallet, 4, at=T0 + DAY)
    assert not spend(wallet, 1, 901, at=T0 + 3 * DAY)
    assert wallet.balance == Balance(pending=0, active=0, spent=4, expired=6, last_seq=4)


def test_points_that_were_never_looked_at_while_active_go_through_it_before_they_expire():
    wallet = open_wallet()
    grant(wallet, X, 10, pending=DAY, lasts=2 * DAY)
    wallet.mature(T0 + 5 * DAY)
    assert [transfer.kind for transfer in wallet.transfers] == ["grant", "activate", "expire"]


def test_a_spend_beyond_the_balance_moves_nothing():
    wallet = open_wallet()
    grant(wallet, X, 10)
    assert not spend(wallet, 11)
    assert (wallet.balance.active, len(wallet.transfers)) == (10, 1)


def test_a_reversal_takes_its_own_points_then_others_then_makes_a_debt():
    wallet = open_wallet()
    grant(wallet, X, 10, lasts=DAY)
    grant(wallet, Y, 6)
    spend(wallet, 8)
    assert take_back(wallet, X, 10) == Taken(10)
    assert (left(wallet), wallet.balance.active, wallet.balance.floor) == ({X: 0, Y: 0}, -2, -2)


def test_what_comes_in_pays_the_debt_first():
    wallet = open_wallet()
    grant(wallet, X, 10)
    spend(wallet, 10)
    take_back(wallet, X, 10)
    grant(wallet, Y, 4)
    grant(wallet, Z, 9)
    assert (left(wallet), wallet.balance.active, wallet.balance.floor) == ({X: 0, Y: 0, Z: 3}, 3, 0)


def test_a_floor_bounds_the_debt_and_the_rest_is_told():
    wallet = open_wallet()
    grant(wallet, X, 10)
    spend(wallet, 10)
    assert take_back(wallet, X, 10, floor=-3) == Taken(3, short=7)
    assert take_back(wallet, X, 10, "r2", floor=-3) == Taken(0, short=7)
    assert wallet.balance.active == -3


def test_what_has_expired_or_was_reversed_is_not_taken_again():
    wallet = open_wallet()
    grant(wallet, X, 10, lasts=DAY)
    spend(wallet, 3)
    assert take_back(wallet, X, 2) == Taken(2)
    assert take_back(wallet, X, 10, "r2", at=T0 + DAY) == Taken(3)  # 5 expired, 2 were taken, 3 were spent
    assert wallet.balance == Balance(active=-3, spent=3, expired=5, reversed=5, floor=-3, last_seq=5)


def test_points_are_taken_back_while_they_are_pending():
    wallet = open_wallet()
    grant(wallet, X, 10, pending=DAY)
    assert take_back(wallet, X, 4) == Taken(4)
    assert (wallet.balance.pending, wallet.balance.reversed) == (6, 4)
    assert take_back(wallet, Y, 4) is None


def test_a_refund_fills_the_lots_it_came_from_with_their_expiry():
    wallet = open_wallet()
    grant(wallet, X, 10, lasts=DAY)
    grant(wallet, Y, 10)
    spend(wallet, 15)
    wallet.refund(UUID(int=77), wallet.transfers[-1], T0)
    assert left(wallet) == {X: 10, Y: 10}
    spend(wallet, 15, 901)
    wallet.refund(UUID(int=78), wallet.transfers[-1], T0 + DAY)
    assert (left(wallet), wallet.balance.active, wallet.balance.expired) == ({X: 0, Y: 10}, 10, 10)


def test_a_refund_after_a_reversal_pays_the_debt_and_finds_room_where_points_were_lent():
    wallet = open_wallet()
    grant(wallet, X, 10, lasts=DAY)
    grant(wallet, Y, 4)
    spend(wallet, 10)
    take_back(wallet, X, 10)  # 4 lent by Y, 6 owed
    wallet.refund(UUID(int=77), wallet.transfers[2], T0)
    assert (left(wallet), wallet.balance.active, wallet.balance.spent) == ({X: 0, Y: 4}, 4, 0)


def test_an_adjustment_adds_a_lot_or_draws_on_what_is_there():
    wallet = open_wallet()
    assert wallet.adjust(X, "a1", 10, "goodwill", T0, T0 + DAY)
    assert not wallet.adjust(Y, "a2", -11, "mistake", T0, None)
    assert wallet.adjust(Y, "a2", -4, "mistake", T0, None)
    assert (left(wallet), wallet.balance.active) == ({X: 6}, 6)
