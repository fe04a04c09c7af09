"""PgQueuer, compared with by the benchmark."""
