-- Actions and badges that nothing names may be deleted. Locks nothing that is read.
GRANT DELETE ON action, badge TO fillip_api;
