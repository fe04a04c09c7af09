"""The table as a worker sees it: claims, ends, leases and rescues, over one connection that reconnects."""
