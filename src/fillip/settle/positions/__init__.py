"""Stored positions as the operator sees and moves them: what the belt never does by itself."""
