-- Adds a tenant. Only for the database of `jobtide dev`.
--
-- Parameters: name text
INSERT INTO tenants (name) VALUES (%(name)s) RETURNING id
