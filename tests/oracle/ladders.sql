-- The ladders of a tenant that are not being deleted: how far their users are counted, and follow.
SELECT currency, filled_to, followed_to FROM ladder WHERE tenant_id = %(tenant)s AND NOT leaving
