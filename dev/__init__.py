"""What developers run; nothing here is part of the wheel.

machine   what a developer's machine needs
tools     Go programs built from pinned modules
images    programs that build images, and the base image
postgres  PostgreSQL and PgBouncer as processes
cluster   a Kubernetes cluster: a given one, kind, or host processes
stage     what the demo, the end-to-end tests, the pod benchmarks and chaos share
generate  files made from the code: the CRD, the chart's schema, the reference
demo      `make demo`
bench     `make bench`
chaos     `make chaos`

`python3 -m dev` makes the virtual environment, the programs, the images and the cluster. All that it imports uses
Python's standard library alone, because it runs before a virtual environment exists.
"""
