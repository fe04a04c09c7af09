"""procrastinate, compared with by the benchmark."""
