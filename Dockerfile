# The image that a compiled pipeline names, in which Kubeflow starts every step: docs/kubeflow.md.
# It holds what requirements.lock names, as `make setup` installs it.
FROM python:3.10-slim AS build
# One dependency of TFX comes as source only, in C++.
RUN apt-get update && apt-get install --yes --no-install-recommends g++
RUN pip install --no-cache-dir uv==0.13.8
WORKDIR /app
COPY requirements.lock ./
RUN uv venv --no-python-downloads /opt/venv
RUN uv pip sync --python /opt/venv --require-hashes --compile-bytecode --no-cache \
    --build-constraints requirements.lock requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY component component
COPY pipelines pipelines
RUN uv pip install --python /opt/venv --no-deps --no-cache --editable .

FROM python:3.10-slim
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
# The commands of a spec, and the workers of Beam, start the `python` that comes first.
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /app
# No ENTRYPOINT: a spec states whole commands.
CMD ["rnn-migrate", "--help"]
