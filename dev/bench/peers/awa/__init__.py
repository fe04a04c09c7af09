"""awa, compared with by the benchmark."""
