-- The rows as they are to be written; the cursor's own.
CREATE OR REPLACE TEMP TABLE erased_rows AS FROM erased
