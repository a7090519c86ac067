-- What publish reads of the write-ahead log: users, acks and points too, and what is removed. Locks the publication, and
-- nobody writes these three tables for a moment.
ALTER PUBLICATION fillip ADD TABLE end_user, inbox, wallet_transfer;
ALTER PUBLICATION fillip SET (publish = 'insert, update, delete, truncate');
