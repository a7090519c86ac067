-- Limits that count the codes of one pool. Locks spending_limit for a moment.
ALTER TABLE spending_limit
    ADD COLUMN pool text,
    ADD CHECK (pool IS NULL OR (measure = 'count' AND coalesce(reward_kind, 'coupon') = 'coupon'));
