"""What is written stands in the column that it is named after: rows, statements and parameters have one order."""

import re
from collections.abc import Iterable
from fractions import Fraction

import pytest
from msgspec import Struct

from fillip.core.identity import identify
from fillip.core.ledger.reversal import Grant, IncentiveReversal, Line, ReversalRequest, ReversedSoFar, TakenLine
from fillip.core.limit import CounterKey
from fillip.rows.columns import list_columns
from fillip.rows.limit import postgres as limit
from fillip.rows.wallet import postgres as wallet
from fillip.settle import postgres, rows
from fillip.settle.pins import Pin
from fillip.settle.quest import postgres as quest
from fillip.settle.reversal import postgres as reversal
from fillip.settle.reversal import rows as reversal_rows
from fillip.settle.reversal.stage import PendingReversal, SettledReversal
from tests.builders import T0
from tests.core.test_conflict import Shop, campaign

Fields = Iterable[str]
_DECISION, _INCENTIVE = rows.list_decisions([]), rows.list_incentives([], T0)
_SQL = postgres.SQL | limit.SQL | quest._SQL | reversal.SQL | wallet.SQL
WRITTEN: dict[str, list[Fields]] = {
    "record_events": [rows.EventRow.__struct_fields__],
    "fill_events": [rows.EventRow.__struct_fields__],
    "write_settled": [
        _DECISION,
        _INCENTIVE,
        rows.InboxHeadRow.__struct_fields__,
        rows.CounterRow.__struct_fields__,
    ],
    "write_badges": [rows.BadgeRow.__struct_fields__],
    "write_rejections": [rows.RejectionRow.__struct_fields__],
    "write_pins": [Pin.__struct_fields__],
    "lock_counters": [CounterKey.__struct_fields__],
    "read_counters": [CounterKey.__struct_fields__],
    "write_parts": [rows.PartRow.__struct_fields__],
    "write_instances": [quest.INSTANCE_ROW, quest.CONTRIBUTION_ROW],
    "write_wallets": [wallet.WALLET_ROW, wallet.LOT_ROW, wallet.TRANSFER_ROW],
    "write_draws": [wallet.DRAW_ROW, wallet.PART_ROW],
    "write_reversals": [
        reversal_rows.list_reversals([]),
        reversal_rows.list_lines([]),
        reversal_rows.list_taken([]),
    ],
    "lower_contributions": [reversal_rows.list_lowered([])],
    "tell_reversed": [reversal_rows.list_inbox_updates([])],
}
_NAMES = r"\(([\w\s,]+)\)"
_UNNEST = (
    rf"(?:INSERT INTO \w+ {_NAMES}\s+SELECT \* FROM )?unnest\(([^()]+)\)(\s+WITH ORDINALITY)?(?:\s+AS \w+ {_NAMES})?"
)
_INSERT = rf"INSERT INTO \w+ {_NAMES}\s+SELECT\s(?!\*)(.+?)\sFROM "


def split(names: str) -> list[str]:
    """Names between commas; what stands in parentheses stays together."""
    return [name.strip() for name in re.split(r",(?![^(]*\))", names)]


@pytest.mark.parametrize("name", WRITTEN)
def test_the_parameters_of_a_statement_are_named_as_the_fields_of_its_rows(name: str) -> None:
    named, numbers = [], []
    for inserted, parameters, numbered, alias in re.findall(_UNNEST, _SQL[name]):
        names = split(alias or inserted)
        named.append(names[:-1] if numbered else names)
        numbers.append([int(number) for number in re.findall(r"\$(\d+)", parameters)])
    assert named == [list(fields) for fields in WRITTEN[name]]
    assert [len(some) for some in numbers] == [len(names) for names in named]
    assert [number for some in numbers for number in some] == list(range(1, sum(map(len, numbers)) + 1))


@pytest.mark.parametrize("name", WRITTEN)
def test_what_has_a_column_s_name_is_inserted_into_that_column(name: str) -> None:
    for inserted, selected in re.findall(_INSERT, _SQL[name], re.DOTALL):
        columns, values = split(inserted), split(selected)
        assert len(columns) == len(values)
        for column, value in zip(columns, values, strict=True):
            plain = re.fullmatch(r"(?:\w+\.)?(\w+)(?:::\w+)?", value)
            assert plain is None or plain[1] == column or plain[1] not in columns, f"{value} is put into {column}"


def test_rows_become_columns_in_the_order_of_their_fields() -> None:
    badge = identify("badge")

    class Row(Struct):
        first: str
        second: object

    assert list_columns(Row, [Row(second=badge, first="a"), Row(second=1, first="b")]) == [["a", "b"], [badge, 1]]
    assert list_columns(Row, []) == [[], []]


def test_each_decision_and_each_incentive_is_a_row_of_its_own() -> None:
    shop = Shop([campaign(priority=1), campaign()], {1: 5})
    settled = shop.settle([shop.match({0: 3, 1: 4}), shop.match({0: 7, 1: 2})])
    decisions, incentives = rows.list_decisions(settled), rows.list_incentives(settled, T0)
    assert decisions["event_id"] == ["e1", "e1", "e2", "e2"]
    assert decisions["campaign_id"] == ["c0", "c1", "c0", "c1"]
    assert decisions["outcome"] == ["granted", "granted", "granted", "denied"]
    assert decisions["reward_values"][2:] == ['[{"kind":"cashback","value":7,"currency":"USD"}]', "[]"]
    assert incentives["value"] == [3, 4, 7]
    assert incentives["inbox_seq"] == [1, 2, 3]
    assert incentives["decision_id"] == decisions["decision_id"][:3]
    assert {len(column) for column in incentives.values()} == {3}


def test_what_several_reversals_took_of_one_incentive_is_one_row_of_what_they_took_in_all() -> None:
    grant = Grant(identify("d"), "c", "u", "", True, (), ())
    one, other = identify("one"), identify("other")

    def reverse(number: int, *taken: IncentiveReversal) -> SettledReversal:
        lines = {"shoes": TakenLine(Fraction(number, 4)), "hat": TakenLine(Fraction(1, 2), Fraction(1, 2))}
        request = ReversalRequest("e", amount=None, lines=(Line("shoes", 1),), of=4)
        pending = PendingReversal("acme", "/till", f"r{number}", "u", request, T0, T0)
        so_far = ReversedSoFar(Fraction(1, 2), lines)
        return SettledReversal(pending, "applied", "applied", [(grant, each) for each in taken], so_far=so_far)

    part, rest = IncentiveReversal(one, 2, False, "granted"), IncentiveReversal(one, 3, True, "granted")
    done = [reverse(1, part, IncentiveReversal(other, 1, False, "claimed")), reverse(2, rest)]
    taken = reversal_rows.list_taken(done)
    assert dict(zip(taken["incentive_id"], zip(taken["value"], taken["state"], strict=True), strict=True)) == {
        one: (5, "reversed"),
        other: (1, "claimed"),
    }
    lines = reversal_rows.list_lines(done)
    assert (lines["line"], lines["share"], lines["whole"]) == (["shoes"], ["1/2"], [None])
