"""The life of quest instances: opened, moved on, completed, and recounted when an event is taken back."""
