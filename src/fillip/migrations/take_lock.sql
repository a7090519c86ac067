-- One migration at a time on a server, whatever its database: roles belong to the server, an advisory lock to a database.
-- Locks the role `fillip_auth` against other comments on it until the end of the transaction; nothing else waits for that.
COMMENT ON ROLE fillip_auth IS 'Fillip: owns the look-ups of keys and tickets. Who migrates holds a lock on it.';
