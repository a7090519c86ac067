"""Limits: checked and stored."""
