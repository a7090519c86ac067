-- The user's rejected events; the cursor's own.
CREATE OR REPLACE TEMP TABLE erasing_rejection AS SELECT unnest($1)::uuid AS rejection_id
