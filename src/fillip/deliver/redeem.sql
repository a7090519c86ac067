SELECT tenant_id, user_id, quotas::text AS quotas FROM redeem_ticket($1)
