-- Adds incoming claims.
INSERT INTO claim_fact SELECT partition, tenant_id, incentive_id, claimed_at, campaign_id, granted_at FROM incoming_claim
