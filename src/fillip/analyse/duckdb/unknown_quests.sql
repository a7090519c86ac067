-- Where the changes stand whose steps were in an announcement that is not known. Reads only.
SELECT partition, record_offset FROM incoming_quest WHERE steps IS NULL
