"""SQL statements of the simulator, one per file."""
