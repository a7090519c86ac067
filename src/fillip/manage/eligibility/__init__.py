"""What a user can earn now: every campaign in force, with what is missing or in the way; nothing is decided."""
