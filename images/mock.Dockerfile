# The mock model server: an executable `vllm` for pools that need no GPU. It plays its parts from the benchmarks' tasks.
ARG BASE=python:3.11-slim-bookworm
FROM ${BASE} AS code
COPY install.sh /
COPY code /code
RUN sh /install.sh /code /layer
RUN ln -s toolorch-mock-vllm /layer/opt/venv/bin/vllm

FROM toolorch/tasks:dev
COPY --from=code /layer/opt/venv /opt/venv
USER 65532:65532
ENTRYPOINT ["vllm"]
