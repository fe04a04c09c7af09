"""What developers run: tools, cluster, images, demo, benchmarks.

Everything in this package up to a running cluster uses Python's standard library alone, because it runs
before any virtual environment exists. Nothing here is part of the wheel.
"""
