-- Adds incoming acknowledgements.
INSERT INTO ack_fact SELECT partition, tenant_id, incentive_id, acked_at, campaign_id, granted_at FROM incoming_ack
