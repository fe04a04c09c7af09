-- Removes what an earlier demo left: its tenants, and their jobs with them.
--
-- Parameters: name text, a pattern of the tenants' names
DELETE FROM tenants WHERE name LIKE %(name)s
