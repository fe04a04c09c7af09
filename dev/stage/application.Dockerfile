ARG WORKER_IMAGE=jobtide/worker:0.1.0
FROM ${WORKER_IMAGE}
COPY handlers.py /app/
ENV JOBTIDE_APP=handlers:tide
