"""The page: pools, tenants and jobs in a browser. docs/adr/2026-11-29-who-may-use-the-page.md says who may do what."""
