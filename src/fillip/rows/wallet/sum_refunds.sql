-- How much was asked back of a spend and came back, and how often; what of it a hold released. Locks nothing: its wallet is locked.
SELECT count(*) FILTER (WHERE refund_id <> '') AS count, coalesce(sum(amount), 0)::bigint AS asked,
       coalesce(sum(returned), 0)::bigint AS returned, coalesce(sum(amount) FILTER (WHERE refund_id = ''), 0)::bigint AS released
FROM wallet_refund WHERE tenant_id = $1 AND transfer_id = $2
