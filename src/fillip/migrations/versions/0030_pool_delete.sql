-- Pools without codes may be deleted. Locks nothing that is read.
GRANT DELETE ON coupon_pool TO fillip_api;
