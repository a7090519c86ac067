-- Backtests under the definitions that events were decided under; locks backtest and book_change for a moment.
ALTER TABLE backtest ADD COLUMN definitions text NOT NULL DEFAULT 'current'
    CHECK (definitions IN ('current', 'recorded'));
-- The process of a backtest has the worker's read access to one tenant.
GRANT SELECT ON book_change TO fillip_worker;
