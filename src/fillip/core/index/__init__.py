"""Which rules can hold for an event, found without running each: clauses of atoms, bitmaps, and hashes of bitmaps."""

from fillip.core.index.atom import read_clauses
from fillip.core.index.clause import Clauses, Leftover
from fillip.core.index.near import Amount, Near, Path
from fillip.core.index.rules import RuleIndex

__all__ = ["Amount", "Clauses", "Leftover", "Near", "Path", "RuleIndex", "read_clauses"]
