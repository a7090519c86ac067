"""Ladders of levels, and where users stand on them, as stored."""
