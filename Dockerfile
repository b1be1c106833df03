# One image for the gateway and for the shop that shows it: tool servers and agents (see docker-compose.yml).
# The gateway's state is in /data; everything else may be read-only.

FROM python:3.13-slim-bookworm AS build
ENV UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never UV_COMPILE_BYTECODE=1
RUN pip install --no-cache-dir uv==0.13.9
WORKDIR /app
# What others wrote, in a layer of its own: it changes less often than what we write.
COPY pyproject.toml uv.lock ./
RUN uv sync --frozen --no-default-groups --group agents --extra postgresql --extra otlp --no-install-project
COPY README.md LICENSE ./
COPY gateway gateway
RUN uv sync --frozen --no-default-groups --group agents --extra postgresql --extra otlp --no-editable

FROM python:3.13-slim-bookworm
RUN useradd --system --uid 10001 --user-group --no-create-home toolgate \
 && install -d -o toolgate -g toolgate -m 0700 /data
COPY --from=build /app/.venv /app/.venv
WORKDIR /app
COPY servers servers
COPY agents agents
RUN python -m compileall -q servers agents
ENV PATH=/app/.venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    TOOLGATE_CONFIG=/etc/toolgate/gateway.toml TOOLGATE_STATE=/data
USER 10001:10001
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
# For the gateway; another command brings its own check.
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/readyz', timeout=2)"]
CMD ["toolgate", "serve", "--host", "0.0.0.0"]
