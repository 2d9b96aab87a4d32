# What a run's pods are: the benchmarks' tasks, and on top the client of model servers, statistics and reports.
ARG BASE=python:3.11-slim-bookworm
FROM ${BASE} AS code
COPY install.sh /
COPY code /code
RUN sh /install.sh /code /layer

FROM ${BASE} AS dependencies
COPY install.sh /
COPY wheels /wheels
RUN sh /install.sh /wheels /layer

FROM toolorch/tasks:dev
COPY --from=dependencies /layer/opt/venv /opt/venv
COPY --from=code /layer/opt/venv /opt/venv
USER 65532:65532
ENTRYPOINT ["toolorch-evaluator"]
