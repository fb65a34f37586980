# outagecast in a container: `make image`, then, in the folder that holds your outagecast.yaml:
#   docker run --rm -it -v "$PWD:/status" --user "$(id -u):$(id -g)" --env-file credentials outagecast preview incident.yaml
# The ledger must outlive the container: keep it, as the example does, in the folder that is mounted.

FROM python:3.13-slim AS build
RUN python -m venv /opt/outagecast
ENV PATH=/opt/outagecast/bin:$PATH
WORKDIR /source
COPY requirements-image.lock ./
RUN pip install --no-cache-dir --require-hashes -r requirements-image.lock
COPY pyproject.toml README.md LICENSE config.example.yaml ./
COPY channels/ channels/
COPY examples/ examples/
COPY templates/ templates/
COPY outagecast/ outagecast/
RUN pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels . \
 && pip install --no-cache-dir --no-deps --no-index /wheels/*.whl \
 && pip uninstall --yes setuptools pip

FROM python:3.13-slim
RUN useradd --uid 10001 --create-home outagecast && install -d -o outagecast /status
COPY --from=build /opt/outagecast /opt/outagecast
ENV PATH=/opt/outagecast/bin:$PATH
USER outagecast
WORKDIR /status
ENTRYPOINT ["outagecast"]
CMD ["--help"]
