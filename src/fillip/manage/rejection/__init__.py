"""Events that could not be decided."""
