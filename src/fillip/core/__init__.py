"""The nouns and the decisions. Pure: no I/O, no clock, no randomness; all of these come in as arguments."""
