-- Takes out what a record that can't be loaded said.
UPDATE set_aside SET value = ''::blob, error = 'erased' WHERE topic = $1 AND partition = $2 AND record_offset = $3
