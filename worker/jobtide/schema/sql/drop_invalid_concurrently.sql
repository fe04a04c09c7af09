-- What: removes INDEX_NAME if an interrupted build left it invalid; psql runs the statement that this returns.
SELECT format('DROP INDEX CONCURRENTLY %s', indexrelid::regclass)
FROM pg_index WHERE indexrelid = to_regclass('INDEX_NAME') AND indrelid = to_regclass('job_queue') AND NOT indisvalid \gexec
