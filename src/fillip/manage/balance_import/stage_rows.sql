-- Rows of an import, for this session alone: not in the write-ahead log, so that publish does not wade through them.
CREATE TEMP TABLE staged_balance (
    line integer NOT NULL, user_id text COLLATE "C" NOT NULL, amount bigint NOT NULL, currency text COLLATE "C" NOT NULL,
    available_at timestamptz, expires_at timestamptz, id text COLLATE "C"
)
