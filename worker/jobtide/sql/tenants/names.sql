-- Names of tenants, to find those that are similar to a wrong one; at most 10,000.
--
-- Index: none: a sequential scan of tenants
SELECT DISTINCT t.name
FROM tenants AS t
WHERE t.name <> ''
LIMIT 10000
