"""The page: what open pages cost the controller, and how fast it answers over a large table."""
