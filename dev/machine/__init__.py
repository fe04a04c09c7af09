"""What a developer's machine needs: cache, packages, processes, ports, waits, and the virtual environment."""
