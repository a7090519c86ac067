-- Who decides by books, and under which versions: a change is answered once all of them who live decide under it.

-- Each process that holds books. It lives while it renews its row; one that does not, decides nothing until it has.
CREATE TABLE book_reader (
    reader_id     uuid PRIMARY KEY,
    beat_at       timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50);

-- The version of a tenant's book that a reader decides under; -1 while it reads its first. Written before the reader
-- reads the book, so that a change which does not see this row is one that the reader will see. No foreign key to the
-- tenant: its check would wait for whoever changes the book.
CREATE TABLE book_held (
    tenant_id     text NOT NULL,
    reader_id     uuid NOT NULL REFERENCES book_reader ON DELETE CASCADE,
    book_version  bigint NOT NULL,
    PRIMARY KEY (tenant_id, reader_id)
);
CREATE INDEX book_held_by_reader ON book_held (reader_id);

-- A reader counts as alive for 5 s after each beat. It beats each second, and by itself stops deciding after 3.
CREATE FUNCTION lives(beat_at timestamptz) RETURNS boolean LANGUAGE sql VOLATILE AS $$
    SELECT beat_at > clock_timestamp() - interval '5 s'
$$;

-- Readers hear of a change as it commits: "tenant version".
CREATE FUNCTION tell_readers() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('book_changed', NEW.tenant_id || ' ' || NEW.book_version);
    RETURN NULL;
END $$;
CREATE TRIGGER book_change_told AFTER INSERT ON book_change FOR EACH ROW EXECUTE FUNCTION tell_readers();

CREATE POLICY readers ON book_reader TO fillip_worker USING (true) WITH CHECK (true);
CREATE POLICY seen_readers ON book_reader FOR SELECT TO fillip_api USING (true);

GRANT SELECT, INSERT, UPDATE, DELETE ON book_reader, book_held TO fillip_worker;
GRANT SELECT ON book_reader, book_held TO fillip_api;
