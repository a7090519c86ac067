"""What an event means for each campaign it meets: candidates, and what a grant would give and take."""
