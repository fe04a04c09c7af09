"""`kubectl jobtide`: why a pool has as many workers as it has, and how deep its queue is.

Needs kubectl and the role `view`: everything that it shows is in the status of the pools.
"""
