"""PostgreSQL 15 and 18, and PgBouncer, as processes on this machine."""
