"""Pure functions that turn a pool into its Deployment, and a decision into the pool's status."""
