# The operator: Kubernetes client, object storage client, and our own wheel. No benchmark, no model code.
# LOGNAME: the user has a number and no name, and some libraries ask for one.
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
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp LOGNAME=toolorch
USER 65532:65532
ENTRYPOINT ["toolorch-operator"]
