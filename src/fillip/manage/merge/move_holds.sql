-- Open holds ($2) of a wallet of tenant $1 are of user $3, under these numbers of their transfers ($4). Locks them.
UPDATE wallet_hold h SET user_id = $3, seq = n.seq
FROM unnest($2::uuid[], $4::bigint[]) AS n (transfer_id, seq)
WHERE h.tenant_id = $1 AND h.transfer_id = n.transfer_id
