-- Where a tenant's events in day files were received that turned out to be rejected.
SELECT partition, log_offset, received_at FROM event_struck WHERE tenant_id = $1
