ARG WORKER_IMAGE=ghcr.io/jobtide/worker:0.2.0
FROM ${WORKER_IMAGE}
COPY handlers.py /app/
ENV JOBTIDE_APP=handlers:tide
