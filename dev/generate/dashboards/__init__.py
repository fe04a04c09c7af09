"""The Grafana dashboards of the chart: their panels are in fleet.py and pool.py, Grafana's format in grafana.py."""
