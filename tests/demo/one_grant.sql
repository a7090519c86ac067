-- One user of acme: one grant under a cap of one, one denial by that cap, all as the worker writes them.
INSERT INTO tenant (tenant_id, name, time_zone, currency, clock) VALUES ('acme', 'Acme', 'UTC', 'USD', 'history');
INSERT INTO spending_limit (tenant_id, limit_id, scope, measure, span, cap)
VALUES ('acme', 'one', 'user', 'count', 'lifetime', 1);
INSERT INTO limit_counter VALUES ('acme', 'one', 'ada', '', '1970-01-01', 1, 1, 1);
INSERT INTO decision (tenant_id, decision_id, campaign_id, campaign_version, event_key, event_id, event_source, user_id, outcome,
                      reason, occurred_at, local_day, reward_values, limits, book_version, partition, log_offset, decided_at)
SELECT 'acme', id, 'c', 1, id, event_id, '/till', 'ada', outcome, reason, now(), current_date, '[{"kind": "points", "value": 5}]',
       jsonb_build_array(jsonb_build_object('limit_id', 'one', 'key', '', 'window_start', '1970-01-01',
                                            'version', used, 'used_before', used, 'amount', 1, 'cap', 1)),
       1, 0, used, now()
FROM (VALUES ('00000000-0000-0000-0000-00000000000a'::uuid, 'e1', 'granted', 'granted', 0),
             ('00000000-0000-0000-0000-00000000000b'::uuid, 'e2', 'denied', 'limit', 1))
     AS made (id, event_id, outcome, reason, used);
INSERT INTO incentive (tenant_id, incentive_id, decision_id, campaign_id, user_id, event_id, event_source, reward_index, kind, value,
                       state, inbox_seq, occurred_at, received_at, taken_at, granted_at)
VALUES ('acme', '00000000-0000-0000-0000-00000000000c', '00000000-0000-0000-0000-00000000000a', 'c', 'ada', 'e1', '/till',
        0, 'points', 5, 'granted', 1, now(), now(), now(), now());
INSERT INTO inbox (tenant_id, user_id, seq, incentive_id)
VALUES ('acme', 'ada', 1, '00000000-0000-0000-0000-00000000000c');
