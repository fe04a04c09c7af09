"""`kubectl jobtide`: why a pool has as many workers as it has, and how deep its queue is.

Needs a kubeconfig and the rights of a viewer, nothing else: everything it shows is in the pools' status.
"""
