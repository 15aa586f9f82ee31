# One image for all that runs this package: Airflow's components, `model-loop serve`, MLflow.
ARG PYTHON_IMAGE=python:3.11.14-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ENV UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    VIRTUAL_ENV=/opt/venv
RUN python -m venv --without-pip ${VIRTUAL_ENV} \
    && python -m pip install --no-cache-dir --disable-pip-version-check uv==0.9.9
WORKDIR /build
# Dependencies first: they change seldom, so this layer is kept from build to build.
COPY pyproject.toml ./
COPY requirements/constraints.txt requirements/
RUN uv pip install --no-cache -c requirements/constraints.txt -r pyproject.toml --extra production
COPY README.md ./
COPY include include
RUN uv pip install --no-cache --no-deps . \
    && uv pip check

FROM ${PYTHON_IMAGE}
# Git reads versioned bundles of DAGs.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends git \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --gid 0 --home-dir /var/lib/model-loop --no-create-home app \
    && install -d -o 10001 -g 0 -m 0770 \
        /var/lib/model-loop \
        /var/lib/model-loop/airflow \
        /var/lib/model-loop/batches \
        /var/lib/model-loop/certificates \
        /var/lib/model-loop/logs \
        /var/lib/model-loop/scrape \
        /var/lib/model-loop/serving \
        /var/lib/model-loop/tokens \
    # Versions with code of their own run under other user ids, and read it.
    && install -d -o 10001 -g 0 -m 0775 /var/lib/model-loop-environments
COPY --from=build /opt/venv /opt/venv
COPY dags /opt/model-loop/dags
COPY plugins /opt/model-loop/plugins
ENV PATH=/opt/venv/bin:${PATH} \
    PYTHONUNBUFFERED=1 \
    HOME=/var/lib/model-loop \
    # What may be written by a container whose image may not.
    MPLCONFIGDIR=/tmp/matplotlib \
    NUMBA_CACHE_DIR=/tmp/numba \
    AIRFLOW_HOME=/var/lib/model-loop/airflow \
    AIRFLOW__CORE__DAGS_FOLDER=/opt/model-loop/dags \
    AIRFLOW__CORE__PLUGINS_FOLDER=/opt/model-loop/plugins \
    AIRFLOW__LOGGING__BASE_LOG_FOLDER=/var/lib/model-loop/logs \
    # The same as everywhere: model_loop.local.stack.EVERYWHERE.
    AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION=False \
    AIRFLOW__CORE__LOAD_EXAMPLES=False \
    AIRFLOW__CORE__XCOM_BACKEND=model_loop.orchestration.xcom.ModelLoopXComBackend \
    AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL=300 \
    AIRFLOW__USAGE_DATA_COLLECTION__ENABLED=False \
    # Threads of a fit that wait for each other let others run; see model_loop.local.stack.
    OMP_WAIT_POLICY=PASSIVE \
    MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false \
    MLFLOW_DISABLE_TELEMETRY=true \
    DO_NOT_TRACK=true \
    GIT_PYTHON_REFRESH=quiet \
    MODEL_LOOP_SERVING_FOLDER=/var/lib/model-loop/serving \
    MODEL_LOOP_SERVING_HOST=0.0.0.0
WORKDIR /opt/model-loop
USER 10001:0
# Each service of docker-compose.yaml has its own command and asks its own address whether it is well.
HEALTHCHECK NONE
CMD ["model-loop", "--help"]
