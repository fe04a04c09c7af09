"""The page: pools, tenants and jobs in a browser, on a port of its own. docs/adr/2026-11-29-the-page.md says why so."""
