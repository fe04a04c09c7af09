-- Settings of the transaction that a statement of an operator runs in: bounded, and the same on every server.
-- Compiling a statement (jit) takes longer than most of them run.
--
-- Parameters: milliseconds text, read_only text (on or off)
-- Index:      none, no table is touched
SELECT
    set_config('statement_timeout', %(milliseconds)s::text, true),
    set_config('lock_timeout', %(milliseconds)s::text, true),
    set_config('row_security', 'on', true),
    set_config('jit', 'off', true),
    set_config('TimeZone', 'UTC', true),
    set_config('transaction_read_only', %(read_only)s::text, true)
