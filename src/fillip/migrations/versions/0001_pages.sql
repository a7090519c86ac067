-- For each list of the API and of the gateway, an index in its order behind each of its filters: a page reads its own rows.
CREATE INDEX api_key_by_tenant ON api_key (tenant_id, key_id);
CREATE INDEX gateway_ticket_due ON gateway_ticket (tenant_id, expires_at);
CREATE INDEX coupon_generation_by_pool ON coupon_generation (tenant_id, pool_id, generation_id);
CREATE INDEX decision_by_campaign ON decision (tenant_id, campaign_id, decided_at, decision_id);
CREATE INDEX decision_by_event_id ON decision (tenant_id, event_id, decided_at, decision_id);
CREATE INDEX incentive_by_campaign ON incentive (tenant_id, campaign_id, granted_at, incentive_id);
CREATE INDEX incentive_moved ON incentive (tenant_id, state, granted_at, incentive_id) WHERE state <> 'granted';
CREATE INDEX rejection_newest ON rejection (tenant_id, rejected_at, rejection_id);
CREATE INDEX rejection_by_reason ON rejection (tenant_id, reason, rejected_at, rejection_id);
CREATE INDEX rejection_by_event ON rejection (tenant_id, event_id, rejected_at, rejection_id);
CREATE INDEX reversal_by_event_id ON reversal (tenant_id, event_id, recorded_at, reversal_key);
CREATE INDEX reversal_by_state ON reversal (tenant_id, state, recorded_at, reversal_key);
CREATE INDEX reversal_by_user ON reversal (tenant_id, user_id, recorded_at, reversal_key);
CREATE INDEX quest_instance_by_user ON quest_instance (tenant_id, user_id, campaign_id, instance_key, occurrence);
CREATE INDEX quest_instance_open ON quest_instance (tenant_id, user_id, started_at DESC) WHERE state = 'open';
