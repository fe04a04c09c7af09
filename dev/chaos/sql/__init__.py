"""SQL of the chaos run."""
