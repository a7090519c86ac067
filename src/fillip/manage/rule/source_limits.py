"""What can be told of a rule from its text alone, before it is parsed: its size, long literals, the clause too deep."""

import re
from collections.abc import Callable, Iterator

from fillip.core.rule import RuleRefused
from fillip.core.rule.tree import locate

MAX_SOURCE_BYTES = 8192
MAX_LITERAL_ITEMS = 256
MAX_TOKENS = 2000

_HINT = "keep them in a named list, let users be in a cohort, or events carry a category"
_SHOWN = 80  # characters of a clause in the message
_LINE_END = re.compile(r"\n")
_TEXT = (
    r"""(?:[bB]?[rR]|[rR][bB])(?:'''.*?'''|\"\"\".*?\"\"\"|'[^'\n]*'|"[^"\n]*")"""
    r"""|'''(?:\\.|(?!''')[^\\])*+(?:''')?|\"\"\"(?:\\.|(?!\"\"\")[^\\])*+(?:\"\"\")?"""
    r"""|'(?:\\.|[^'\\\n])*+'?|"(?:\\.|[^"\\\n])*+"?|//[^\n]*"""
)  # a text that does not end is one too: each of its quotes would be tried to the end of the source
_TOKEN = re.compile(_TEXT + r"|&&|\|\||[([{]|[)\]}]|,", re.DOTALL)
_WORD = re.compile(_TEXT + r"|\w+|&&|\|\||[=!<>]=|[^\w\s]", re.DOTALL)


def refuse_oversized(source: str) -> int:
    """The words and signs of a source; raises RuleRefused for what is no text, larger than a rule may be, or has a
    longer list or map written out.
    """
    try:
        encoded = source.encode()
    except UnicodeEncodeError as error:
        raise refuse_at(source, error.start, "not valid Unicode text") from None
    if len(encoded) > MAX_SOURCE_BYTES:
        offset = len(encoded[:MAX_SOURCE_BYTES].decode(errors="ignore"))
        message = f"{len(encoded)} bytes; at most {MAX_SOURCE_BYTES}: {_HINT}"
        raise refuse_at(source, offset, message)
    if "\0" in source:
        raise refuse_at(source, source.index("\0"), "a NUL character cannot be stored")
    for offset, size in _list_literals(source):
        if size > MAX_LITERAL_ITEMS:
            message = f"{size} items written out, at most {MAX_LITERAL_ITEMS}: {_HINT}"
            raise refuse_at(source, offset, message)
    places = [token.start() for token in _WORD.finditer(source)]
    if len(places) > MAX_TOKENS:
        message = f"{len(places):,} words and signs, at most {MAX_TOKENS:,}: {_HINT}"
        raise refuse_at(source, places[MAX_TOKENS], message)
    return len(places)


def count_tokens(source: str) -> int:
    """The words and signs of a source; a text in quotes is one, and so is a comment."""
    return sum(1 for _ in _WORD.finditer(source))


def describe_depth(source: str, parses: Callable[[str], bool]) -> RuleRefused:
    """The refusal of a source that is nested too deep, at its first clause that does not parse by itself."""
    offset, text = next((part for part in _cut(source) if not parses(part[1])), (0, source))
    shown = text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
    return refuse_at(source, offset, f"nested too deep: at most 32 levels, in `{shown}`")


def refuse_at(source: str, offset: int, message: str) -> RuleRefused:
    """The refusal of a source, at the line and column of an offset in it."""
    lines = tuple(match.end() for match in _LINE_END.finditer(source, 0, offset))
    return RuleRefused(*locate(lines, offset), message)


def _list_literals(source: str) -> Iterator[tuple[int, int]]:
    """(offset, items) of what brackets and braces hold."""
    opened: list[tuple[str, int, int]] = []
    for token in _TOKEN.finditer(source):
        if token[0] in "([{":
            opened.append((token[0], token.start(), 1))
        elif token[0] == "," and opened:
            kind, offset, items = opened[-1]
            opened[-1] = (kind, offset, items + 1)
        elif token[0] in ")]}" and opened:
            kind, offset, items = opened.pop()
            if kind != "(":
                yield offset, items


def _cut(source: str) -> Iterator[tuple[int, str]]:
    """(offset, text) of what stands between the `&&` and `||` that no bracket holds."""
    depth, begin = 0, 0
    for token in _TOKEN.finditer(source):
        if token[0] in "([{":
            depth += 1
        elif token[0] in ")]}":
            depth -= 1
        elif token[0] in ("&&", "||") and depth == 0:
            yield from _trim(source, begin, token.start())
            begin = token.end()
    yield from _trim(source, begin, len(source))


def _trim(source: str, begin: int, end: int) -> Iterator[tuple[int, str]]:
    text = source[begin:end]
    if text.strip():
        yield begin + len(text) - len(text.lstrip()), text.strip()
