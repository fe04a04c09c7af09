-- Ends all refusals but one: a result that is refused stays so, because its job must fail however late it runs.
--
-- Locks: SHARE ROW EXCLUSIVE on job_queue for a moment
CREATE OR REPLACE TRIGGER jobtide_chaos_refuse
BEFORE UPDATE OF status ON job_queue
FOR EACH ROW WHEN (old.payload ->> 'refused' = 'result' AND old.status IS DISTINCT FROM new.status)
EXECUTE FUNCTION jobtide_chaos.refuse();
