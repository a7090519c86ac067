-- A tenant with a backtest that was asked so many days ago. Locks nothing.
SELECT tenant_id FROM backtest WHERE asked_at < now() - make_interval(days => :days) ORDER BY asked_at LIMIT 1
