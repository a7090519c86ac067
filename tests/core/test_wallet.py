"""Wallets: what each operation moves, told as stories."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from fillip.core.identity import identify
from fillip.core.ledger.points import Balance, Lot, PointsReversal, PointsToReverse, Portion, Transfer
from fillip.core.ledger.wallet import Wallet

KEY = ("acme", "ada", "POINTS")
T0 = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
X, Y, Z = UUID(int=1), UUID(int=2), UUID(int=3)


def open_wallet() -> Wallet:
    return Wallet(KEY, None)


def grant(wallet: Wallet, lot: UUID, amount: int, *, pending: timedelta | None = None, lasts: timedelta | None = None):
    wallet.grant(lot, amount, T0, T0 + pending if pending else None, T0 + lasts if lasts else None)


def list_due(wallet: Wallet, at: datetime) -> list[Lot]:
    """What falls due by `at`, as the ledger finds it."""
    to = wallet.balance.activated_to, wallet.balance.expired_to
    times = [(lot, (lot.available_at, lot.expires_at)) for lot in wallet.lots.values() if lot.remaining]
    return [lot for lot, pair in times if any(after < x <= at for after, x in zip(to, pair, strict=True) if x)]


def turn(wallet: Wallet, page: int = 99, since: datetime | None = None) -> None:
    """Hand in the lots that are spent first, as the ledger finds them."""
    to, since = wallet.balance.activated_to, since or wallet.balance.expired_to
    lots = [lot for lot in wallet.lots.values() if lot.remaining and lot.end > since]
    lots = [lot for lot in lots if lot.available_at is None or lot.available_at <= to]
    wallet.turn_to(sorted(lots, key=lambda lot: (lot.end, lot.seq))[:page])


def spend(wallet: Wallet, amount: int, number: int = 900, at: datetime = T0, page: int = 99) -> bool:
    wallet.mature(at, list_due(wallet, at))
    turn(wallet, page)
    return wallet.spend(UUID(int=number), f"s{number}", amount, at)


def refund(wallet: Wallet, spent: Transfer, number: int, at: datetime = T0) -> None:
    """All of it at once."""
    wallet.mature(at, list_due(wallet, at))
    draw = wallet.draws.get(spent.transfer_id)
    owed = draw.owed if draw else 0
    given = {**spent.lots, **{name: part for each in wallet.parts for name, part in each.lots.items()}}
    spare = [lot.lot_id for lot in wallet.lots.values() if lot.used]
    wallet.give_back(UUID(int=number), spent, "rest", Portion(spent.amount, given, owed, spare=spare), at)


def pay(wallet: Wallet, page: int = 99) -> None:
    """A portion of the sweep."""
    draws = sorted((draw for draw in wallet.draws.values() if draw.owed), key=lambda draw: draw.seq)
    turn(wallet, page, draws[0].since)
    wallet.pay_draws([draw for draw in draws if draw.since == draws[0].since], T0)


def take_back(wallet: Wallet, lot: UUID, amount: int, name: str = "r1", at: datetime = T0, floor: int | None = None):
    wallet.mature(at, list_due(wallet, at))
    return wallet.take_back(PointsToReverse(KEY, identify(name), name, lot, amount), at, floor)


def tell(wallet: Wallet) -> Balance:
    """The balance without the times."""
    shown = ("pending", "active", "spent", "expired", "reversed", "floor", "last_seq", "owed")
    return Balance(**{name: getattr(wallet.balance, name) for name in shown})


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
    assert tell(wallet) == Balance(pending=0, active=0, spent=4, expired=6, last_seq=4)


def test_points_that_were_never_looked_at_while_active_go_through_it_before_they_expire():
    wallet = open_wallet()
    grant(wallet, X, 10, pending=DAY, lasts=2 * DAY)
    wallet.mature(T0 + 5 * DAY, list_due(wallet, T0 + 5 * DAY))
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
    assert take_back(wallet, X, 10) == PointsReversal(10)
    assert (wallet.balance.active, wallet.balance.floor, wallet.balance.owed) == (-2, -2, 6)
    pay(wallet)
    assert (left(wallet), wallet.balance.owed) == ({X: 0, Y: 0}, 0)


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
    assert take_back(wallet, X, 10, floor=-3) == PointsReversal(3, short=7)
    assert take_back(wallet, X, 7, "r2", floor=-3) == PointsReversal(0, short=7)
    assert wallet.balance.active == -3


def test_what_has_expired_or_was_reversed_is_not_taken_again():
    wallet = open_wallet()
    grant(wallet, X, 10, lasts=DAY)
    spend(wallet, 3)
    assert take_back(wallet, X, 2) == PointsReversal(2)
    assert take_back(wallet, X, 8, "r2", at=T0 + DAY) == PointsReversal(
        3, short=5
    )  # 5 expired, 2 were taken, 3 were spent
    assert tell(wallet) == Balance(active=-3, spent=3, expired=5, reversed=5, floor=-3, last_seq=5)


def test_points_are_taken_back_while_they_are_pending():
    wallet = open_wallet()
    grant(wallet, X, 10, pending=DAY)
    assert take_back(wallet, X, 4) == PointsReversal(4)
    assert (wallet.balance.pending, wallet.balance.reversed) == (6, 4)
    assert take_back(wallet, Y, 4) == PointsReversal(0, short=4), "there is no such lot"


def test_a_refund_fills_the_lots_it_came_from_with_their_expiry():
    wallet = open_wallet()
    grant(wallet, X, 10, lasts=DAY)
    grant(wallet, Y, 10)
    spend(wallet, 15)
    refund(wallet, wallet.transfers[-1], 77)
    assert left(wallet) == {X: 10, Y: 10}
    spend(wallet, 15, 901)
    refund(wallet, wallet.transfers[-1], 78, T0 + DAY)
    assert (left(wallet), wallet.balance.active, wallet.balance.expired) == ({X: 10, Y: 10}, 10, 10), "X has expired"


def test_what_stays_spent_after_a_refund_in_pieces_is_what_a_smaller_spend_would_have_taken():
    wallet = open_wallet()
    grant(wallet, X, 10, lasts=DAY)
    grant(wallet, Y, 10, lasts=2 * DAY)
    grant(wallet, Z, 10)
    spend(wallet, 25)
    spent = wallet.transfers[-1]
    for number, (begin, end, retained) in enumerate([(17, 25, [0, 3, 10]), (16, 17, [0, 4, 10]), (4, 16, [6, 10, 10])]):
        shares = wallet.cut_shares(spent.lots, begin, end)
        wallet.give_back(UUID(int=77 + number), spent, f"r{number}", Portion(end - begin, shares), T0)
        assert list(left(wallet).values()) == retained
    assert tell(wallet) == Balance(active=26, spent=4, last_seq=7)
    assert [each.reason for each in wallet.transfers[-3:]] == ["r0", "r1", "r2"]


@pytest.mark.parametrize("paid", [False, True])
def test_a_refund_after_a_reversal_pays_the_debt_and_finds_room_where_points_were_lent(paid: bool):
    wallet = open_wallet()
    grant(wallet, X, 10, lasts=DAY)
    grant(wallet, Y, 4)
    spend(wallet, 10)
    take_back(wallet, X, 10)  # 4 lent by Y, 6 owed
    if paid:
        pay(wallet)
    refund(wallet, wallet.transfers[2], 77)
    assert (left(wallet), wallet.balance.active, wallet.balance.spent) == ({X: 0, Y: 4}, 4, 0)


def test_an_adjustment_adds_a_lot_or_draws_on_what_is_there():
    wallet = open_wallet()
    assert wallet.adjust(X, "a1", 10, "goodwill", T0, T0 + DAY)
    turn(wallet)
    assert not wallet.adjust(Y, "a2", -11, "mistake", T0, None)
    assert wallet.adjust(Y, "a2", -4, "mistake", T0, None)
    assert (left(wallet), wallet.balance.active) == ({X: 6}, 6)


def test_a_spend_over_more_lots_than_a_page_leaves_the_rest_owed_and_the_lots_follow():
    wallet = open_wallet()
    names = [UUID(int=number) for number in (1, 2, 3, 4, 5, 6, 7, 99)]
    for days, name in enumerate(names[:7], 1):
        grant(wallet, name, 10, lasts=days * DAY)
    assert spend(wallet, 45, page=2)
    assert tell(wallet) == Balance(active=25, spent=45, last_seq=8, owed=25)
    grant(wallet, names[7], 10, lasts=DAY / 2)  # came later, expires first: it takes part
    pay(wallet, 2)
    pay(wallet, 2)
    assert wallet.balance.owed == 0
    assert left(wallet) == dict(zip(names, [0, 0, 0, 5, 10, 10, 10, 0], strict=True))
    assert [(each.part, sum(each.lots.values())) for each in wallet.parts] == [(1, -20), (2, -5)]


def test_what_is_owed_comes_out_of_the_lots_that_expire_and_only_the_rest_of_them_expires():
    wallet = open_wallet()
    grant(wallet, X, 10, lasts=DAY)
    grant(wallet, Y, 10, lasts=2 * DAY)
    grant(wallet, Z, 10)
    assert spend(wallet, 14, page=0)
    wallet.mature(T0 + DAY, list_due(wallet, T0 + DAY))
    assert tell(wallet) == Balance(active=16, spent=14, last_seq=4, owed=4), "all of X was spent"
    assert spend(wallet, 3, 901, at=T0 + DAY, page=0)
    wallet.mature(T0 + 2 * DAY, list_due(wallet, T0 + 2 * DAY))
    assert tell(wallet) == Balance(active=10, spent=17, expired=3, last_seq=6, owed=0)
    pay(wallet)
    pay(wallet)
    assert left(wallet) == {X: 0, Y: 3, Z: 10}, "3 of Y expired"


def test_a_refund_takes_what_is_owed_off_and_what_of_it_has_expired_meanwhile_is_gone():
    wallet = open_wallet()
    grant(wallet, X, 10, lasts=DAY)
    grant(wallet, Y, 10)
    assert spend(wallet, 14, page=0)
    spent = wallet.transfers[-1]
    wallet.mature(T0 + DAY, list_due(wallet, T0 + DAY))
    wallet.give_back(UUID(int=77), spent, "rest", Portion(14, {}, owed=14, late=10), T0 + DAY)
    assert tell(wallet) == Balance(active=10, expired=10, last_seq=5)
    assert not any(draw.owed for draw in wallet.draws.values())


def test_many_lots_become_active_and_expire_by_their_sums_and_the_debt_is_paid_out_of_them():
    wallet = open_wallet()
    grant(wallet, X, 10)
    spend(wallet, 10)
    take_back(wallet, X, 4)
    grant(wallet, Y, 10, pending=DAY, lasts=2 * DAY)
    grant(wallet, Z, 10, pending=DAY)
    wallet.mature_many(T0 + 2 * DAY, 20, 10)
    assert tell(wallet) == Balance(active=10, spent=10, expired=6, reversed=4, floor=0, last_seq=7, owed=0)
    assert [transfer.amount for transfer in wallet.transfers[-2:]] == [20, 6]
    pay(wallet)
    assert left(wallet) == {X: 0, Y: 6, Z: 10}


def test_what_is_granted_past_its_time_becomes_active_and_expires_at_once():
    wallet = open_wallet()
    grant(wallet, X, 10, pending=DAY, lasts=2 * DAY)
    wallet.mature(T0 + 3 * DAY, list_due(wallet, T0 + 3 * DAY))
    grant(wallet, Y, 7, pending=DAY, lasts=2 * DAY)
    grant(wallet, Z, 5, pending=DAY)
    assert tell(wallet) == Balance(active=5, expired=17, last_seq=8)
    assert spend(wallet, 5, at=T0 + 3 * DAY)
    assert left(wallet) == {X: 10, Y: 7, Z: 0}, "what remains of X and Y has expired"
