# syntax=docker/dockerfile:1
# Two images from one wheel: `--target controller` and `--target worker`.
# An application is `FROM <the worker image>`, its module copied into /app, and ENV JOBTIDE_APP=module:attribute.
# 3.13.14 of August 2026, for all platforms: a build of one commit has one base, whatever the tag names that day. For a
# newer one, take the digest of the index from `docker buildx imagetools inspect python:3.13-slim`, here and in
# dev/stage/postgres.Dockerfile.
ARG BASE_IMAGE=docker.io/library/python:3.13-slim@sha256:9662417aace5ae7b8e2609cce472b72a8958e134ba372808abe9cc1a0c0125e6

FROM ${BASE_IMAGE} AS base
ENV PATH=/opt/jobtide/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
# Some libraries look up the name of their user; Kubernetes checks the number alone.
RUN echo 'jobtide:x:65532:65532:jobtide:/app:/usr/sbin/nologin' >> /etc/passwd && mkdir -p /app

# The secret `ca` holds the certificates of a machine behind a proxy that inspects TLS. It never enters a layer.
FROM base AS build
ARG PIP_INDEX_URL
COPY requirements/build.txt /build/requirements/
RUN --mount=type=secret,id=ca,target=/run/secrets/ca \
    if [ -s /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi; \
    python3 -m venv /opt/build && \
    /opt/build/bin/pip install --no-cache-dir --require-hashes -r /build/requirements/build.txt

FROM build AS wheel
WORKDIR /build
COPY pyproject.toml README.md LICENSE ./
COPY worker worker
COPY controller controller
RUN /opt/build/bin/python -m hatchling build --target wheel

FROM build AS controller-packages
COPY requirements/controller.txt /build/requirements.txt
RUN --mount=type=secret,id=ca,target=/run/secrets/ca \
    if [ -s /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi; \
    python3 -m venv --without-pip /opt/jobtide && \
    /opt/build/bin/pip --python /opt/jobtide/bin/python install --no-cache-dir --require-hashes \
      -r /build/requirements.txt

FROM controller-packages AS controller-wheel
COPY --from=wheel /build/dist /build/dist
RUN /opt/build/bin/pip --python /opt/jobtide/bin/python install --no-cache-dir --no-index --no-deps \
      --root /wheel /build/dist/*.whl

FROM build AS worker-packages
COPY requirements/worker.txt /build/requirements.txt
RUN --mount=type=secret,id=ca,target=/run/secrets/ca \
    if [ -s /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi; \
    python3 -m venv --without-pip /opt/jobtide && \
    /opt/build/bin/pip --python /opt/jobtide/bin/python install --no-cache-dir --require-hashes \
      -r /build/requirements.txt

FROM worker-packages AS worker-wheel
COPY --from=wheel /build/dist /build/dist
RUN /opt/build/bin/pip --python /opt/jobtide/bin/python install --no-cache-dir --no-index --no-deps \
      --root /wheel /build/dist/*.whl

FROM base AS controller
# The libraries change seldom and make a layer that every version shares.
COPY --from=controller-packages /opt/jobtide /opt/jobtide
COPY --from=controller-wheel /wheel /
WORKDIR /app
USER 65532:65532
ENTRYPOINT ["jobtide-controller"]

FROM base AS worker
# The libraries change seldom and make a layer that every version shares.
COPY --from=worker-packages /opt/jobtide /opt/jobtide
COPY --from=worker-wheel /wheel /
WORKDIR /app
ENV PYTHONPATH=/app
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["jobtide"]
CMD ["worker"]
