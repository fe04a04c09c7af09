"""SQL that the demo, the end-to-end tests and chaos run."""
