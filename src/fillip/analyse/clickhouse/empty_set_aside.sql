-- Takes out what records that can't be loaded said; locks nothing: readers have the parts of before until it is done.
ALTER TABLE set_aside UPDATE value = '', error = 'erased'
WHERE (topic, partition, record_offset) IN {places:Array(Tuple(String, Int32, Int64))}
