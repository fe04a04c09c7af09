"""The demo: the whole product at work on a real cluster, and an account of what it did."""
