# The operator: Kubernetes client, object storage client, and our own wheel. No benchmark, no model code.
# LOGNAME: the user has a number and no name, and some libraries ask for one.
# MALLOC_ARENA_MAX: threads that wait for storage would each keep memory of their own.
ARG BASE=python:3.11-slim-bookworm
FROM ${BASE} AS code
COPY install.sh /
COPY code /code
RUN sh /install.sh /code /layer

FROM ${BASE} AS dependencies
COPY install.sh /
COPY wheels /wheels
RUN sh /install.sh /wheels /layer && cp -a /opt/venv /layer/opt/

FROM ${BASE}
COPY --from=dependencies /layer/opt/venv /opt/venv
COPY --from=code /layer/opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp LOGNAME=toolorch \
    MALLOC_ARENA_MAX=2
USER 65532:65532
ENTRYPOINT ["toolorch-operator"]
