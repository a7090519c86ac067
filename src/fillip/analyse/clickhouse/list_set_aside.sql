-- What could not be loaded and may be of a tenant, by place.
SELECT topic, partition, record_offset, value FROM set_aside WHERE position(value, {tenant_id:String}) > 0
