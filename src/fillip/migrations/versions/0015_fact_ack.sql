-- An acked inbox entry says of which campaign its incentive is and when it was granted, so that reports need not look for it. Locks
-- the inbox for a moment, and writes nothing anew: of what was acked before it is not said.
ALTER TABLE inbox
    ADD COLUMN campaign_id text CHECK (octet_length(campaign_id) <= 63),
    ADD COLUMN granted_at timestamptz;
