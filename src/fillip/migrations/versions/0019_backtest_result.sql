-- Results of backtests of before reversals were considered: they say less than results do now, and can be asked for again. Locks backtest for a moment.
ALTER TABLE backtest NO FORCE ROW LEVEL SECURITY;
UPDATE backtest
SET state = 'failed', result = NULL, error = 'this result was of an earlier version of Fillip: ask for it again'
WHERE state = 'done';
ALTER TABLE backtest FORCE ROW LEVEL SECURITY;
