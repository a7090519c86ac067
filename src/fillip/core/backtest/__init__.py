"""What a campaign would have granted for the past: its state while the past is decided once more, and what came of it."""
