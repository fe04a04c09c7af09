-- The server's time, and the user whose rights the changes use: taken once, when a run begins.
--
-- Index:      none, no table is touched
SELECT now() AS at, session_user::text AS session_user, current_user::text AS current_user
