-- Removes the trigger that refuses changes of marked rows.
--
-- Locks: ACCESS EXCLUSIVE on job_queue for a moment
DROP TRIGGER IF EXISTS jobtide_chaos_refuse ON job_queue
