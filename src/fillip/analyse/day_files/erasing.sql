-- Whom an erasure is about, for the statements behind it; the cursor's own.
CREATE OR REPLACE TEMP TABLE erasing AS
SELECT $tenant_id::varchar AS of_tenant, $user_id::varchar AS of_user, $pseudonym::varchar AS of_pseudonym, $salt::varchar AS of_salt,
       $cut_at::timestamptz AS of_cut
