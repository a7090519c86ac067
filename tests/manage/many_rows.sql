-- Fifty tenants in each table that is listed, with $ROWS rows in all; $CHECKED is a checked rule. As the owner.
CREATE TEMP TABLE n AS
SELECT i, 't' || lpad((i % 50)::text, 2, '0') AS tenant_id, 'u' || (i / 50) % 100 AS user_id, 'c' || (i / 50) % 200 AS campaign_id,
       timestamptz '2026-01-01' + i * interval '1 second' AS at, md5(i::text)::uuid AS id, i / 50 AS mine
FROM generate_series(0, $ROWS - 1) AS i;
INSERT INTO tenant (tenant_id, name, time_zone, currency, clock)
SELECT DISTINCT tenant_id, 'T', 'UTC', 'EUR', 'live' FROM n;
INSERT INTO api_key (key_id, tenant_id, name, prefix, key_hash, scopes, revoked_at)
SELECT id, tenant_id, 'k', 'fk_live_', sha256(i::text::bytea), '{}', at FROM n;
INSERT INTO end_user (tenant_id, user_id) SELECT tenant_id, 'u' || mine FROM n;
INSERT INTO action (tenant_id, name, schema) SELECT tenant_id, 'A' || mine, '{}' FROM n;
INSERT INTO campaign (tenant_id, campaign_id, state, version)
SELECT tenant_id, 'c' || mine, CASE WHEN mine % 3 = 0 THEN 'running' ELSE 'draft' END, 1 FROM n;
INSERT INTO campaign_version (tenant_id, campaign_id, version, definition, checked)
SELECT tenant_id, 'c' || mine, 1, '{"kind": "SIMPLE", "name": "n", "action": "A", "rewards": [{"kind": "badge"}]}', '$CHECKED' FROM n;
INSERT INTO spending_limit (tenant_id, limit_id, campaign_id, scope, measure, span, cap)
SELECT tenant_id, 'l' || mine, campaign_id, 'campaign', 'count', 'day', 1 FROM n;
INSERT INTO limit_counter (tenant_id, limit_id, user_id, key, window_start, used, cap, version)
SELECT tenant_id, 'l0', user_id, mine::text, '1970-01-01', 0, 1, 1 FROM n;
INSERT INTO cohort (tenant_id, cohort_id, name, content_id)
SELECT tenant_id, 'c' || mine, 'C', CASE WHEN mine = 0 THEN md5(tenant_id)::uuid ELSE uuidv7() END FROM n;
INSERT INTO user_number (tenant_id, user_id, number) SELECT tenant_id, 'u' || lpad(mine::text, 5, '0'), mine FROM n;
INSERT INTO cohort_chunk (tenant_id, content_id, chunk, version, members)
SELECT tenant_id, md5(tenant_id)::uuid, mine, 1, '$MEMBERS' FROM n;
INSERT INTO cohort_build (tenant_id, cohort_id, change, lines) SELECT tenant_id, 'c0', 'add', 1 FROM n;
INSERT INTO named_list (tenant_id, list_id, name, kind, version, size) SELECT tenant_id, 'l' || mine, 'L', 'int', 1, 0 FROM n;
INSERT INTO points_currency (tenant_id, currency, name) SELECT tenant_id, 'P' || mine, 'P' FROM n;
INSERT INTO ladder (tenant_id, currency, span, names, thresholds) SELECT tenant_id, 'P' || mine, 'year', '{l,m}', '{0,1}' FROM n;
INSERT INTO user_level (tenant_id, currency, user_id, level, threshold, since)
SELECT tenant_id, 'P' || mine % 4, 'u' || mine, CASE WHEN mine % 2 = 0 THEN 'm' ELSE 'l' END, mine % 2, at FROM n;
INSERT INTO level_change (tenant_id, user_id, currency, number, direction, from_level, to_level, earned, changed_at)
SELECT tenant_id, user_id, 'P0', mine + 1, 'up', 'k', 'l', 1, at FROM n;
INSERT INTO coupon_pool (tenant_id, pool_id, name) SELECT tenant_id, 'p' || mine, 'P' FROM n;
INSERT INTO coupon_generation (tenant_id, generation_id, pool_id, pattern, wanted, made, finished_at)
SELECT tenant_id, id, 'p' || mine % 4, '#', 1, 1, at FROM n;
INSERT INTO badge (tenant_id, badge_id, name) SELECT tenant_id, 'b' || mine, 'B' FROM n;
INSERT INTO user_merge (tenant_id, user_id, merge_id, asked_into, merged_into, moved, merged_at)
SELECT tenant_id, 'anon-' || mine, 'm' || mine, user_id, user_id, '{"points": {}, "counters": 0, "instances": 0, "badges": 0}', at FROM n WHERE user_id <> 'u2';  -- who is nobody but itself
INSERT INTO badge_held (tenant_id, user_id, badge_id, incentive_id, held_at) SELECT tenant_id, user_id, 'b' || mine, id, at FROM n;
INSERT INTO wallet (tenant_id, user_id, currency, pending, active, spent, expired, reversed, floor, last_seq)
SELECT tenant_id, user_id, 'P' || mine, 0, 0, 0, 0, 0, 0, 0 FROM n;
INSERT INTO wallet_transfer (tenant_id, transfer_id, user_id, currency, seq, kind, debit, credit, amount, lots, source_id,
                             pending_after, active_after, made_at)
SELECT tenant_id, id, user_id, 'P0', mine + 1, CASE WHEN mine % 9 = 0 THEN 'spend' ELSE 'grant' END, 'issued', 'active', 1, '{}',
       'x', 0, 0, at FROM n;
INSERT INTO wallet_lot (tenant_id, lot_id, user_id, currency, amount, remaining, seq, reversed, expires_at)
SELECT tenant_id, id, user_id, 'P1', 2, 1 + mine % 2, mine + 1, 0, CASE WHEN mine % 3 > 0 THEN now() + interval '1 year' END FROM n;
INSERT INTO wallet_hold (tenant_id, transfer_id, user_id, currency, seq, hold_id, amount, held_until, state, captured)
SELECT tenant_id, id, user_id, 'P0', mine + 1, 'h' || mine, 1, at, 'held', 0 FROM n;
INSERT INTO balance_import (tenant_id, import_id, content_hash, rows, users, sums, posted_rows, next_at, ended_at)
SELECT tenant_id, 'i' || mine, sha256(''), 1, 1, '{}', 1, NULL, at FROM n;
INSERT INTO leaderboard (tenant_id, leaderboard_id, measure, span, currency) SELECT tenant_id, 'l' || mine, 'value', 'day', 'POINTS' FROM n;
INSERT INTO wallet_draw (tenant_id, user_id, currency, seq, transfer_id, owed, since, part)
SELECT tenant_id, user_id, 'P' || mine, 1, id, 1, at, 0 FROM n;
INSERT INTO decision (tenant_id, decision_id, campaign_id, campaign_version, event_key, event_id, event_source, user_id, outcome, reason,
                      occurred_at, local_day, reward_values, limits, book_version, partition, log_offset, decided_at)
SELECT tenant_id, id, campaign_id, 1, id, 'e' || i, '/till', user_id, CASE WHEN mine % 5 = 0 THEN 'granted' ELSE 'denied' END, 'limit', at,
       at::date, '[]', '[]', 1, 0, i, at FROM n;
INSERT INTO incentive (tenant_id, incentive_id, decision_id, campaign_id, user_id, event_id, event_source, reward_index, kind, value, state,
                       inbox_seq, occurred_at, received_at, taken_at, granted_at)
SELECT tenant_id, id, id, campaign_id, user_id, 'e' || i, '/till', 0, 'badge', 0, CASE WHEN mine % 200 = 0 THEN 'claimed' ELSE 'granted' END,
       mine + 1, at, at, at, at FROM n;
INSERT INTO inbox (tenant_id, user_id, seq, incentive_id, acked_at)
SELECT tenant_id, user_id, mine + 1, id, CASE WHEN mine % 2 = 0 THEN at END FROM n;
INSERT INTO inbox_head (tenant_id, user_id, last_seq) SELECT tenant_id, user_id, max(mine) + 1 FROM n GROUP BY 1, 2;
INSERT INTO incentive_change (tenant_id, user_id, inbox_seq, incentive_id, decision_id, campaign_id, event_id, event_source, kind, value,
                              granted_at, change, changed_value, reversed_value)
SELECT tenant_id, user_id, mine + 1, id, id, campaign_id, 'e' || i, '/till', 'badge', 0, at, 'reversed', 0, 0 FROM n;
INSERT INTO rejection (rejection_id, tenant_id, topic, partition, log_offset, reason, detail, event_id, original, received_at, rejected_at)
SELECT id, tenant_id, 't', 0, i, CASE WHEN mine % 200 = 0 THEN 'too_deep' ELSE 'undecodable' END, '', 'e' || i, '', at, at FROM n;
INSERT INTO reversal (tenant_id, reversal_key, reversal_id, reversal_source, event_key, event_id, event_source, user_id, request, state, reason, incentives, counters, quests, share,
                      occurred_at, received_at, recorded_at, decided_at)
SELECT tenant_id, id, 'r' || i, 'fillip', id, 'e' || i, '/till', user_id, '{"event_id": "e"}', CASE WHEN mine % 200 = 1 THEN 'waiting' ELSE 'applied' END, 'x',
       '[]', '[]', '[]', CASE WHEN mine % 200 <> 1 THEN '1' END, at, at, at, CASE WHEN mine % 200 <> 1 THEN at END FROM n;
INSERT INTO quest_instance (tenant_id, campaign_id, user_id, instance_key, occurrence, campaign_version, state, started_at,
                            start_offset, steps)
SELECT tenant_id, campaign_id, user_id, mine::text, 1, 1, CASE WHEN mine % 4 = 0 THEN 'open' ELSE 'completed' END, at, 0, '[]' FROM n;
INSERT INTO backtest (tenant_id, campaign_id, version, first_at, until_at) SELECT tenant_id, campaign_id, 1, at - interval '1 day', at FROM n;
INSERT INTO gateway_ticket (ticket_hash, tenant_id, user_id, expires_at) SELECT sha256(i::text::bytea), tenant_id, user_id, at FROM n;
