-- The time zone of a tenant, as its newest change has it.
SELECT time_zone FROM fact
WHERE kind = 'zone' AND tenant_id = {tenant_id:String} AND load <= {newest:UInt64} AND load >= {since_zone:Array(UInt64)}[partition + 1]
ORDER BY revision DESC LIMIT 1
