-- Note the newest of a tenant; partitions are loaded one after the other, so an older one may come later.
INSERT INTO tenant_mark VALUES ($1, $2) ON CONFLICT (tenant_id)
DO UPDATE SET committed_at_us = greatest(tenant_mark.committed_at_us, excluded.committed_at_us)
