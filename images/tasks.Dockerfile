# The benchmarks' tasks and what reads them: the layers that the evaluator and the mock model server share.
ARG BASE=python:3.11-slim-bookworm
FROM ${BASE} AS dependencies
COPY install.sh /
COPY wheels /wheels
RUN sh /install.sh /wheels /layer && cp -a /opt/venv /layer/opt/

FROM ${BASE}
COPY --from=dependencies /layer/opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp LOGNAME=toolorch
