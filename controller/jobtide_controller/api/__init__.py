"""The resource JobWorkerPool: its models, the CRD made from them, and its validation rules."""
