"""The application that the benchmarked workers run."""
