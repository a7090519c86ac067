"""Regular expressions of rules: RE2, as CEL wants it; linear in the text, which Python's own engine is not."""

from functools import lru_cache

import re2

from fillip.core.rule.arithmetic import need

_MAX_MEMORY_BYTES = 1_000_000  # of one compiled pattern; a larger one is refused


def find_pattern(pattern: str, text: str) -> bool:
    """Whether the pattern occurs in the text; TypeError for null, ValueError for a pattern that is none."""
    return _compile(pattern).search(need(text)) is not None


def describe_fault(pattern: str) -> str | None:
    """What is wrong with a pattern; None for a sound one."""
    try:
        _compile(pattern)
    except ValueError as error:
        return str(error)
    return None


@lru_cache(maxsize=4096)
def _compile(pattern: str) -> "re2._Regexp[str]":
    options = re2.Options()
    options.max_mem = _MAX_MEMORY_BYTES
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        said = error.args[0]
        raise ValueError(said.decode(errors="replace") if isinstance(said, bytes) else str(said)) from None
