-- Adds incoming claims.
INSERT INTO claim_fact SELECT partition, tenant_id, incentive_id, claimed_at FROM incoming_claim
