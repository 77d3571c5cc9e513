# One image for both roles: `server` (the default) and `relay`; `up` runs both. State is in /data and nowhere else, so that
# the root file system can be read-only.
FROM node:22-slim AS reference
COPY deploy/scalar.sh .
RUN sh scalar.sh /scalar.js

FROM python:3.13-slim AS build
WORKDIR /src
RUN python -m venv /opt/hushpost
COPY requirements.runtime.txt .
RUN /opt/hushpost/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes --no-deps \
        -r requirements.runtime.txt
COPY pyproject.toml README.md LICENSE ./
COPY crypto crypto
COPY relay relay
COPY server server
COPY --from=reference /scalar.js server/api/scalar.js
COPY simulator simulator
# setuptools is pinned above; nothing is fetched to build.
RUN /opt/hushpost/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation . \
    && /opt/hushpost/bin/python -m compileall -q /opt/hushpost/lib \
    && /opt/hushpost/bin/pip uninstall --yes setuptools pip

FROM python:3.13-slim
RUN useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin hushpost \
    && install --directory --owner=hushpost --group=hushpost --mode=0700 /data
COPY --from=build /opt/hushpost /opt/hushpost
ENV PATH=/opt/hushpost/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HUSHPOST_SERVER_DATA_DIR=/data \
    HUSHPOST_SERVER_LISTEN=0.0.0.0:8080 \
    HUSHPOST_RELAY_LISTEN=0.0.0.0:8080 \
    HUSHPOST_LOG_FORMAT=json
USER hushpost
WORKDIR /data
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=15s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/healthz', timeout=4)"]
ENTRYPOINT ["hushpost"]
CMD ["server"]
