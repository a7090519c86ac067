"""The belt: records in batches, walked through stages to a commit. Knows Kafka, nothing of what the records mean."""
