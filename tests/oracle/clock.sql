-- Gives levels the clock of the test: time passes where it says so, and stands still else. Only the functions that ask what time it is look here.
CREATE TABLE oracle_clock AS SELECT now() AS at;
GRANT SELECT ON oracle_clock TO PUBLIC;
CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS 'SELECT at FROM public.oracle_clock';
ALTER FUNCTION move_level_of_row() SET search_path = public, pg_catalog;
ALTER FUNCTION move_ladder(text, text, integer) SET search_path = public, pg_catalog;
