"""Users and their attributes."""
