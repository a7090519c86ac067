"""An uploaded list, line by line, however it is cut into pieces."""

from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fillip.manage.coupon.codes import CodeObjectReader, CodeReader
from fillip.manage.upload.csv_lines import CsvReader, UploadBroken


def read(*pieces: bytes) -> bytes:
    """What the reader writes for an upload that comes in these pieces."""
    out = BytesIO()
    reader = CsvReader(out)
    for piece in pieces:
        reader.feed(piece)
    reader.finish()
    assert reader.rows == out.getvalue().count(b"\n")
    return out.getvalue()


@pytest.mark.parametrize(
    ("upload", "rows"),
    [
        (b"", b""),
        (b"user_id\n", b""),
        (b"user_id\r\nada\r\ngrace", b"ada\ngrace\n"),
        (b"ada\nuser_id\n", b"ada\nuser_id\n"),
        (b'\xef\xbb\xbf"User_ID"\n"a,b"\n"say ""hi"""\n', b'a,b\nsay "hi"\n'),
        ('x\nZoë\n"a\tb\\N"\n'.encode(), "x\nZoë\na\\tb\\\\N\n".encode()),
        (b'x\n"sam;kim"\n...\nauth0|7\n', b"x\nsam;kim\n...\nauth0|7\n"),
        (b"user_id\nuserid\nid\n", b"userid\nid\n"),
        (b"x\n" + b"i" * 256 + b"\n", b"x\n" + b"i" * 256 + b"\n"),
    ],
)
def test_good_lines_become_rows_of_copy(upload: bytes, rows: bytes) -> None:
    assert read(upload) == rows


@pytest.mark.parametrize(
    ("upload", "line", "reason"),
    [
        (b"user_id\nada\n\ngrace\n", 3, "empty"),
        (b"  \n", 1, "empty"),
        (b'""\n', 1, "empty"),
        (b"ada\ngr\0ace\n", 2, "a NUL character"),
        (b"ada\n" + b"x" * 257 + b"\n", 2, "longer than 256 bytes"),
        (b"ada\n\xff\xfe\n", 2, "not UTF-8"),
        ("ada\ngrace\n".encode("utf-16"), 1, "the file is UTF-16: save it as UTF-8"),
        (b"ada,41\n", 1, "more than one column; an id with a comma needs quotes"),
        (b'ada\n"a","b"\n', 2, "more than one column"),
        (b"user_id\nsam;kim\n", 2, "more than one column; an id with a semicolon needs quotes"),
        (b"sam\tkim\n", 1, "more than one column; an id with a tab needs quotes"),
        (b"x\nsam;41\n", 2, "more than one column; an id with a semicolon needs quotes"),
        (b'"sam";"kim"\n', 1, "more than one column"),
        (b"x\n.\n", 2, "must not be . or .., which can't stand in a path"),
        (b"x\n..\ny\n", 2, "must not be . or .., which can't stand in a path"),
        (b'ada\n"gra', 2, "an unbalanced quote"),
        (b'ada\n"two\nlines"\n', 2, "an unbalanced quote"),
        (b'a"b\n', 1, "an unbalanced quote"),
        (b'"a"b\n', 1, "text after the closing quote"),
    ],
)
def test_a_broken_line_is_named(upload: bytes, line: int, reason: str) -> None:
    with pytest.raises(UploadBroken) as broken:
        read(upload)
    assert str(broken.value) == f"line {line}: {reason}"


@pytest.mark.parametrize("header", ["userid", "User ID", "USER-ID", '"id"', " user_id", "customer_id", "member id"])
def test_what_looks_like_a_header_is_no_member(header: str) -> None:
    with pytest.raises(UploadBroken, match="line 1: looks like a header, which is user_id"):
        read(f"{header}\nada\n".encode())


@pytest.mark.parametrize(
    ("reader", "upload", "said"),
    [
        (CodeReader, b"NEW-1\n\nNEW-2\n", "line 2: empty"),
        (CodeReader, b"NEW-1\n \n", "line 2: empty"),
        (CodeReader, b"coupon_code\nNEW-1\n", "line 1: looks like a header, which is code"),
        (
            CodeReader,
            b"A\n\xc3\x89\n",
            "line 2: a code has 1 to 64 of A to Z, a to z, 0 to 9, dot, dash and underscore",
        ),
        (CodeReader, b"A\n..\nB\n", "line 2: a code has .* and is not . or .."),
        (CodeReader, b".\n", "line 1: a code has .* and is not . or .."),
        (CodeReader, b"A;B\n", "line 1: more than one column"),
        (CodeObjectReader, b'{"code": "A"}\n\n', "line 2: empty"),
        (CodeObjectReader, b'{"code": "A", "code": "B"}\n', "line 1: `code` stands twice"),
    ],
)
def test_a_broken_line_of_codes_says_what_is_wrong(reader: type[CodeReader], upload: bytes, said: str) -> None:
    taking = reader(BytesIO())
    with pytest.raises(UploadBroken, match=said):
        taking.feed(upload)


def test_codes_with_dots_and_objects_that_say_code_are_codes() -> None:
    out, objects = BytesIO(), BytesIO()
    CodeReader(out).feed(b"code\n...\n.a\na.\n")
    CodeObjectReader(objects).feed(b'{"code": "code"}\n{"code": "B"}\n')
    assert (out.getvalue(), objects.getvalue()) == (b"...\n.a\na.\n", b"code\nB\n")


def test_a_line_without_end_is_refused_before_it_is_in_memory() -> None:
    reader = CsvReader(BytesIO())
    with pytest.raises(UploadBroken, match="line 1: longer"):
        for _ in range(1000):
            reader.feed(b"x" * 1000)
    assert len(reader._rest) < 10_000


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)), st.data())
def test_the_cut_into_pieces_does_not_matter(ids: list[str], data: st.DataObject) -> None:
    ids = [i for i in ids if i.strip() and "\n" not in i and "\r" not in i]
    upload = b"user_id\n" + "".join('"' + i.replace('"', '""') + '"\n' for i in ids).encode()
    cut = data.draw(st.integers(0, len(upload)))
    assert read(upload[:cut], upload[cut:]) == read(upload)
    assert read(upload).count(b"\n") == len(ids)
