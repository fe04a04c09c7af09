-- What: removes INDEX_NAME if an interrupted build left it invalid.
DO $invalid$
BEGIN
  IF EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('INDEX_NAME') AND indrelid = to_regclass('job_queue') AND NOT indisvalid) THEN
    DROP INDEX INDEX_NAME;
  END IF;
END
$invalid$;
