-- Ends a pending job as failed, because the server refuses its claim.
--
-- Parameters: id uuid, message text
-- Index:      job_queue_pkey
UPDATE job_queue AS refused
SET
    status = 'failed',
    next_retry_at = NULL,
    completed_at = now(),
    result = jsonb_build_object('error', jsonb_build_object(
        'type', 'ClaimRefused',
        'message', %(message)s::text,
        'attempt', refused.attempts,
        'at', now()
    ))
WHERE
    refused.id = %(id)s
    AND refused.status = 'pending'
RETURNING refused.id
