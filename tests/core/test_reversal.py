"""Parts and lines of reversals: they add up exactly, and are refused beyond the whole; what a reversal may say."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fillip.core.errors import Unreadable
from fillip.core.ledger import reversal
from fillip.core.ledger.reversal import Line, ReversedSoFar, TakenLine, read_reversal, weigh_reversal
from tests.oracle import reversal as oracle

UNITS = [1, 3, 100]
"""Amounts of one event may be told in any unit: it is of 4 of each."""


def write_part(unit: int, lines: Sequence[tuple[str, int, int | None]]) -> dict[str, Any]:
    """A part by lines: (name, amount, whole) in quarters of the event."""
    told = {
        name: {"line": name, "amount": amount * unit} | ({"of": of * unit} if of else {}) for name, amount, of in lines
    }
    return {"of": 4 * unit, "lines": list(told.values())}


PIECES = st.one_of(st.tuples(st.sampled_from("ab"), st.just(1), st.sampled_from([None, 2, 3])),
                   st.tuples(st.sampled_from("ab"), st.just(2), st.sampled_from([None, 2, 3])))  # fmt: skip
BY_LINES = st.builds(write_part, st.sampled_from(UNITS), st.lists(PIECES, min_size=1, max_size=2)).filter(
    lambda part: sum(line["amount"] for line in part["lines"]) <= part["of"]
)
BY_AMOUNT = st.builds(lambda amount, of: {"amount": min(amount, of), "of": of}, st.integers(1, 5), st.integers(3, 9))
PARTS = st.one_of(BY_LINES, BY_LINES, BY_LINES, BY_AMOUNT, st.just({}))


def compare(parts: Sequence[Mapping[str, Any]]) -> list[object]:
    """What the model and the product say of these one after the other, where they differ; [] where they agree."""
    mine, model = ReversedSoFar(), oracle.Past()
    for number, part in enumerate(parts):
        data = {"event_id": "e", **part}
        said = weigh_reversal(read_reversal(data), mine)
        wanted = model.weigh(
            oracle.read_reversal({"id": f"r{number}", "source": "/till", "subject": "u", "data": data})
        )
        if isinstance(said, ReversedSoFar) and isinstance(wanted, oracle.Past):
            mine, model = said, wanted
            lines = {name: (line.share, line.whole) for name, line in mine.lines.items()}
            if (mine.share, lines) != (model.share, model.lines):
                return [mine, model]
        elif said != wanted:
            return [said, wanted]
    return []


@given(st.lists(PARTS, max_size=8))
@settings(max_examples=500, deadline=None)
def test_parts_and_pieces_of_lines_add_up_as_the_reference_model_says(parts: Sequence[Mapping[str, Any]]):
    assert not compare(parts)


@pytest.mark.parametrize("keeps_shares", [False, True])
def test_a_line_that_is_forgotten_is_found(keeps_shares: bool, monkeypatch: pytest.MonkeyPatch):
    """All of it, or its whole alone."""
    weigh, nothing = reversal._weigh_line, Fraction(0)

    def forget(line: Line, of: int, before: TakenLine) -> object:
        return weigh(line, of, TakenLine(before.share if keeps_shares else nothing))

    monkeypatch.setattr(reversal, "_weigh_line", forget)
    found: list[object] = []

    @given(st.lists(PARTS, max_size=8))
    @settings(max_examples=500, deadline=None)
    def look(parts: Sequence[Mapping[str, Any]]) -> None:
        found.extend(compare(parts))

    look()
    assert found


@pytest.mark.parametrize(
    ("said", "at"),
    [
        ({"lines": [{"line": "a", "amount": 3, "of": 2}], "of": 4}, "/lines/0/of"),
        ({"lines": [{"line": "a", "amount": 1}, {"line": "b", "amount": 1, "of": 5}], "of": 4}, "/lines/1/of"),
        ({"lines": [{"line": "a", "amount": 1}, {"line": "a", "amount": 1}], "of": 4}, "/lines"),
        ({"lines": [{"line": "a", "amount": 5}], "of": 4}, "/of"),
        ({"lines": [{"line": "a", "amount": 1}]}, "/of"),
    ],
)
def test_a_line_that_can_t_be_is_refused_where_it_stands(said: Mapping[str, Any], at: str):
    with pytest.raises(Unreadable) as refused:
        read_reversal({"event_id": "e", **said})
    assert refused.value.at == at
