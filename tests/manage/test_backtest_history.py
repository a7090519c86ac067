"""How the past is read, where it lies."""

from hypothesis import given
from hypothesis import strategies as st

from fillip.manage.backtest.history_http import cut_lines


@given(st.lists(st.binary(max_size=9).map(lambda line: line.replace(b"\n", b"") + b"\n")), st.integers(1, 20))
def test_an_answer_is_read_in_pieces_of_whole_lines(lines: list[bytes], piece_bytes: int) -> None:
    whole = b"".join(lines)
    pieces = [bytes(piece) for piece in cut_lines(whole, piece_bytes)]
    assert b"".join(pieces) == whole
    assert all(piece.endswith(b"\n") for piece in pieces)
    assert all(len(piece) <= piece_bytes + 10 for piece in pieces), "one line longer at most"
