"""Users that are merged into others."""
