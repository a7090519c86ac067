"""Badges, and who holds them."""
