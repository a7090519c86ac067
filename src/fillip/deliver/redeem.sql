-- Redeems a ticket, whose row it locks: of two who show it one is let in. No row for one that is not to be let in.
SELECT tenant_id, user_id, quotas::text AS quotas FROM redeem_ticket($1)
