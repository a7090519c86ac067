-- A hold in a wallet, and the transfer that made it. Locks nothing: its wallet is locked, or it is only shown.
SELECT h.transfer_id, h.seq, h.hold_id, h.amount, h.held_until, h.due_at, h.state, h.captured, h.ended_at,
       t.kind, t.debit, t.credit, t.lots::text AS lots, t.source_id, t.reason, t.pending_after, t.active_after, t.made_at, t.expiries
FROM wallet_hold h JOIN wallet_transfer t ON t.tenant_id = h.tenant_id AND t.transfer_id = h.transfer_id
WHERE h.tenant_id = $1 AND h.user_id = $2 AND h.currency = $3 AND h.transfer_id = $4
