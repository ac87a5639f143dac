# The gateway: API, worker, migrations and the sandbox are commands of this one image.
FROM python:3.11-slim AS build
WORKDIR /app
RUN python -m venv /app/.venv
COPY requirements.txt ./
RUN /app/.venv/bin/pip install --no-cache-dir --require-hashes -r requirements.txt
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY src ./src
# Editable, so that the migrations beside src are found where they are in a checkout.
RUN /app/.venv/bin/pip install --no-cache-dir setuptools==80.9.0 \
 && /app/.venv/bin/pip install --no-cache-dir --no-deps --no-build-isolation -e . \
 && /app/.venv/bin/pip uninstall -y setuptools

FROM python:3.11-slim
RUN groupadd --gid 10001 gateway \
 && useradd --uid 10001 --gid gateway --create-home gateway \
 && install -d -o gateway -g gateway -m 0700 /var/lib/gateway
WORKDIR /app
COPY --from=build /app /app
COPY migrations ./migrations
ENV PATH=/app/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    GATEWAY_HOST=0.0.0.0 \
    GATEWAY_DATA_DIR=/var/lib/gateway
USER gateway
VOLUME /var/lib/gateway
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz', timeout=4)"]
CMD ["gateway", "serve", "--no-worker"]
