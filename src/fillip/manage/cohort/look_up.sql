-- Has the transaction look rows up by their keys, whatever was true of the tables when they were analysed last. Locks nothing.
SELECT set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true)
