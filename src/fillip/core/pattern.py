"""Regular expressions, of rules and of schemas: RE2, as CEL wants it, which takes no more than text x program.

Its fast automaton is linear in the text alone, but an author can make it useless (`a[ab]{20}c` has a million states); then
each byte costs 6 ns an instruction of the program. So programs are bounded, and so is the text that one may run over.
"""

from functools import lru_cache
from typing import TypeAlias

import re2

MAX_PATTERN_CHARS = 512
"""A longer one takes more than some milliseconds to compile: `\\pL` alone is 600 ranges of letters."""

MAX_PROGRAM = 1000
"""Instructions of a pattern, counted repetition written out."""

MAX_MATCHED_CHARS = 1024
"""Of a text that a pattern runs over."""

_MAX_MEMORY_BYTES = 256 * 1024  # of a compiled pattern with its automata
_TOO_LARGE = f"a pattern of more than {MAX_PROGRAM:,} instructions, repetition written out: repeat less"

Pattern: TypeAlias = "re2._Regexp[str]"


class PatternRefused(ValueError):
    """A text that is no pattern of RE2, or one that may cost too much; the message says which."""


def find_pattern(pattern: Pattern, text: str | None) -> bool:
    """Whether the pattern occurs in the text; TypeError for null, ValueError for a text that is longer than bounded."""
    if text is None:
        raise TypeError("null is not a value")
    if len(text) > MAX_MATCHED_CHARS:
        raise ValueError(f"{len(text)} characters, a pattern runs over at most {MAX_MATCHED_CHARS:,}")
    return pattern.search(text) is not None


@lru_cache(maxsize=256)
def read_pattern(source: str) -> Pattern:
    """The compiled pattern; raises PatternRefused. What runs often keeps it: this remembers but the last ones."""
    if len(source) > MAX_PATTERN_CHARS:
        raise PatternRefused(f"a pattern of {len(source)} characters, at most {MAX_PATTERN_CHARS}")
    options = re2.Options()
    options.max_mem = _MAX_MEMORY_BYTES
    options.log_errors = False
    options.never_capture = True  # where it occurs is not asked
    try:
        pattern = re2.compile(source, options)
    except re2.error as error:
        said = error.args[0]
        said = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
        raise PatternRefused(_TOO_LARGE if "too large" in said else f"not a regular expression (RE2): {said}") from None
    if measure_program(pattern) > MAX_PROGRAM:
        raise PatternRefused(_TOO_LARGE)
    return pattern


def measure_program(pattern: Pattern) -> int:
    """Instructions of the compiled pattern, read forwards or backwards; whatever the engine gives up counts as too many."""
    forwards, backwards = pattern.programsize, pattern.reverseprogramsize
    return max(forwards, backwards) if backwards >= 0 else MAX_PROGRAM + 1
