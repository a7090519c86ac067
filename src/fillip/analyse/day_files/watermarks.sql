-- When the newest event of a tenant was received, and the newest of what was announced committed: in microseconds.
SELECT greatest((SELECT epoch_us(max(newest)) FROM day_file WHERE tenant_id = $tenant_id AND kind = 'events' AND replaced_at IS NULL),
                (SELECT epoch_us(max(received_at)) FROM event_row WHERE tenant_id = $tenant_id)),
       (SELECT committed_at_us FROM tenant_mark WHERE tenant_id = $tenant_id)
