-- The tenants with this name, at most three: one is used, more are an error.
--
-- Parameters: name text
-- Index:      none: a sequential scan of tenants
SELECT t.id
FROM tenants AS t
WHERE t.name = %(name)s
ORDER BY t.id
LIMIT 3
