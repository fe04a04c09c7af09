"""The application of the chaos run's workers."""
