"""Actions: the verbs of events."""
