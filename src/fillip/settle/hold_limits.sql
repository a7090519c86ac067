-- Keeps the limits of a batch's tenants as they are; waits behind a change that came first, as 0001_limit_lock.sql says.
SELECT share_limits($1)
