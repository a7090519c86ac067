-- Keeps them, for events that are loaded after their rejection.
INSERT INTO event_rejected SELECT partition, log_offset, received_at FROM rejected_now
