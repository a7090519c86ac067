-- Those of them that stand in day files are struck from these.
INSERT INTO event_struck SELECT tenant_id, partition, log_offset, received_at FROM struck_now WHERE filed
