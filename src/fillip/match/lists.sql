-- A tenant's named lists at their newest versions. Locks nothing.
SELECT list_id, version FROM named_list WHERE tenant_id = $1
