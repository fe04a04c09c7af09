-- Which limits of tenants there are for a pool: its own row, and that of all pools (''). The limits themselves are read where
-- they are needed, by lock_tenants.sql.
--
-- Parameters: pool text
-- Index:      jobtide_pool_limits_pkey, two probes
SELECT header.pool, header.max_concurrent, header.types
FROM jobtide_pool_limits AS header
WHERE header.pool = ANY(ARRAY['', %(pool)s::text])
