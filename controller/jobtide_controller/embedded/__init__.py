"""`jobtide dev`: PostgreSQL, the controller's own loop, and workers that are processes of this machine."""
