-- Removes the tenants of earlier runs, and their jobs with them.
--
-- Parameters: name text, a LIKE pattern
DELETE FROM tenants WHERE name LIKE %(name)s
