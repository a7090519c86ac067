-- Removes quest instances in all their states; locks nothing: readers have the parts of before until it is done.
-- Not what is loaded meanwhile: it may be of a new user of the id.
ALTER TABLE fact DELETE WHERE kind = 'quest' AND tenant_id = {tenant_id:String} AND load <= {newest:UInt64} AND id IN {ids:Array(UUID)}
