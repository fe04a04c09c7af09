-- A user of the tenant, as an application's sign-up makes it; returns its id.
--
-- Parameters: tenant uuid
INSERT INTO users (id, tenant_id) VALUES (gen_random_uuid(), %(tenant)s)
RETURNING id
