"""Versions of campaigns, as both the book and explanations read them."""
