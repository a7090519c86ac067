INSERT INTO tenant (tenant_id, name, time_zone, currency, clock) VALUES
    ('acme', 'Acme', 'UTC', 'USD', 'history'), ('other', 'Other', 'UTC', 'USD', 'history');
INSERT INTO campaign (tenant_id, campaign_id, state, version) VALUES ('acme', 'give', 'running', 1);
INSERT INTO campaign_version (tenant_id, campaign_id, version, definition, checked) VALUES ('acme', 'give', 1, '{}', '{}');
INSERT INTO consumer_position (topic, partition, next_offset, owner) VALUES
    ('event.received', 0, 0, 'test'), ('event.received', 1, 0, 'test');
