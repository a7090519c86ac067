SELECT list_id, version FROM named_list WHERE tenant_id = $1
