-- Settings of the transaction that a statement of an operator runs in: bounded, and the same on every server.
-- Compiling a statement (jit) takes longer than most of them run. A session that is read-only stays so.
--
-- Parameters: milliseconds text, lock_milliseconds text, reads_only bool
-- Index:      none, no table is touched
SELECT
    set_config('statement_timeout', %(milliseconds)s::text, true),
    set_config('lock_timeout', %(lock_milliseconds)s::text, true),
    set_config('row_security', 'on', true),
    set_config('jit', 'off', true),
    set_config('TimeZone', 'UTC', true),
    set_config(
        'transaction_read_only',
        CASE WHEN %(reads_only)s::bool THEN 'on' ELSE current_setting('transaction_read_only') END,
        true
    )
