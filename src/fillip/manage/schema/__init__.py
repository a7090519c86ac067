"""JSON Schemas of actions and users, and what a change of one breaks."""
