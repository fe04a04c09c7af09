"""The decision against the past: what a promise would have cost, before it is applied.

`python -m jobtide_controller simulate` runs the same pure `decide` as the controller over a trace of arrivals, beside
KEDA's and HPA's published law and a bound that no scheduler can beat.
"""
