-- Removes facts that a snapshot has replaced, and that no report counts any more; locks nothing, later merges do it.
DELETE FROM fact WHERE kind = {kind:String} AND load < {since:Array(UInt64)}[partition + 1]
