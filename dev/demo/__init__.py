"""The demo (`make demo`): thousands of jobs on a real cluster, each result checked."""
