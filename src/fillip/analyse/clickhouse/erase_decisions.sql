-- Writes decisions at some places anew, under the pseudonym; locks nothing: readers have the parts of before until it is done.
ALTER TABLE fact UPDATE user_id = {pseudonym:String}
WHERE kind = 'decision' AND tenant_id = {tenant_id:String} AND (load, number) IN {places:Array(Tuple(UInt64, UInt32))}
