SELECT tenant_id, user_id FROM redeem_ticket($1)
