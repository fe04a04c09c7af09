"""Simulates the scaling of a pool over a trace of arrivals: what a promise costs, before it is applied.

`python -m jobtide_controller simulate` runs the same pure `decide` as the controller over a trace of arrivals, next to
the documented algorithm of KEDA and HPA, and a lower bound for any scaler.
"""
