-- Lines of an upload, for this session alone: not in the write-ahead log, so that publish does not wade through them.
CREATE TEMP TABLE staged_line (line text COLLATE "C" NOT NULL)
