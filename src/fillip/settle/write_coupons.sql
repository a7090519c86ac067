-- Gives one code out, which is locked, by its whole key: run once a code, pipelined. As a join it might be planned as a walk over the whole pool.
UPDATE coupon SET incentive_id = $3 WHERE tenant_id = $1 AND code = $2 AND incentive_id IS NULL
