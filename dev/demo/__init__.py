"""The demo (`make demo`, `make demo-cluster`): thousands of real jobs, each result checked."""
