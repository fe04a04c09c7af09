-- Notifies workers that listen that these running jobs were cancelled: each looks at its claims of them at once.
--
-- Parameters: payloads text[] (job ids, separated by spaces)
-- Index:      none, no table is touched
SELECT pg_notify('jobtide_cancelled', payload) FROM unnest(%(payloads)s::text[]) AS one (payload)
