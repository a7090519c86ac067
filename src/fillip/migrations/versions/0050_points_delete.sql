-- Currencies of points that nothing names may be deleted. Locks nothing that is read.
GRANT DELETE ON points_currency TO fillip_api;
