# The picker as an image. Build: docker build --tag registry.example.com/inference/endpoint-picker:0.1.0 .
FROM python:3.11-slim AS builder
WORKDIR /src
# For what the wheel is built with, too.
ENV PIP_CONSTRAINT=/src/constraints.txt PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY epp epp
COPY plugins/epp_plugins plugins/epp_plugins
RUN pip wheel --no-deps --wheel-dir /wheels .
RUN python -m venv /venv \
    && wheel="$(ls /wheels/*.whl)" \
    && /venv/bin/pip install "${wheel}[fast,kubernetes,kv-events]"

FROM python:3.11-slim
COPY --from=builder /venv /venv
# The root file system is read-only in the charts; bytecode was written when the wheel was installed.
ENV PATH=/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# By number, so that Kubernetes can see that it is not root.
USER 65532:65532
EXPOSE 9002 9003 9090
ENTRYPOINT ["epp", "serve"]
