"""One loop for each database: reads it, decides its pools, submits the writes, and rescues jobs of gone pods."""
