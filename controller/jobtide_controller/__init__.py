"""The controller: reads each job table, decides the number of workers of every pool, and writes it to Kubernetes.

api        the resource JobWorkerPool
decide     the number of workers, computed from values alone
render     statuses and Deployments, as values
loop       one loop for each database, and the ports that it needs
kube       the ports to the API server
postgres   the ports to the job tables
telemetry  events, and the logs, metrics and probes made from them
embedded   `jobtide dev`: the ports to processes of this machine
simulate   the same decision over a trace of arrivals
plugin     `kubectl jobtide`
"""
