"""Settings of serving and of the request log."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from model_loop.settings.part import Part, default_state, names, split_list


def _default_serving_folder(known: dict[str, Any]) -> Path:
    return Path(known["state"]).resolve() / "serving"


def _default_batches_folder(known: dict[str, Any]) -> Path:
    return Path(known["serving_folder"]).resolve() / "batches"


#: A scheme, a host and perhaps a port; no path, and nothing that stands for several.
_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:]+\](:[0-9]{1,5})?")


class ServingSettings(Part):
    """Serving, and the request log."""

    @field_validator("serving_cors_origins")
    @classmethod
    def _whole_origins(cls, value: str) -> str:
        for origin in split_list(value):
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(
                    f"{origin!r} is not an origin: give each as https://host or https://host:port, "
                    "in lower case and without a path; there is no * for all"
                )
        return value

    prediction_inputs: int = Field(
        default=50,
        ge=1,
        title="Rows of a prediction",
        description="Most rows in one run of the DAG prediction. Its result has to fit into the "
        "inline XCom size; for more rows there is the DAG batch_scoring.",
    )
    scoring_chunk_rows: int = Field(
        default=250_000,
        ge=1_000,
        title="Rows of a chunk",
        description="Rows of a file that one task of the DAG batch_scoring scores.",
    )
    scoring_folders: str = Field(
        default="",
        title="Folders to score",
        description="Folders and s3:// addresses, separated by commas, where the DAG batch_scoring "
        "may read and write; the storage root is always allowed.",
    )
    scoring_preprocessing: str = Field(
        default="",
        title="Preprocessing",
        description="Dotted name of a function from DataFrame to DataFrame that every batch of "
        "rows goes through before it is scored.",
    )
    xcom_inline_bytes: int = Field(
        default=16_384,
        ge=0,
        title="Inline XCom size",
        description="Plain JSON results up to this many bytes stay in Airflow's database.",
    )
    state: Path = Field(
        default_factory=default_state,
        title="State folder",
        description="Folder of the local stack: databases, logs, models, mails.",
    )
    serving_folder: Path = Field(
        default_factory=_default_serving_folder,
        title="Serving folder",
        description="Folder of the prediction server's tokens, loaded models and, on one machine, "
        "request log.",
    )
    serving_tokens: str = Field(
        default="",
        title="Tokens of the serving",
        description="File of the tokens, for servers that share it; empty for tokens.json in the "
        "serving folder.",
    )
    serving_host: str = Field(
        default="127.0.0.1",
        title="Serving address",
        description="Network address that `model-loop serve` listens on; 0.0.0.0 for all.",
    )
    serving_port: int = Field(
        default=8090,
        ge=1,
        le=65_535,
        title="Serving port",
        description="Port of `model-loop serve`.",
    )
    serving_cors_origins: str = Field(
        default="",
        title="Web pages that may ask",
        description="Origins such as https://app.example.com, separated by commas, whose pages "
        "may ask the prediction server from a browser (CORS); each page needs a token all the "
        "same. Empty for none.",
    )
    serving_variants: str = Field(
        default="",
        title="What is served",
        description="Keys of the variants that the prediction server answers for below their own "
        "paths, separated by commas, such as flights, sales.north; empty for all that there are. "
        "That of the setting `variant` answers at the root in any case.",
    )
    serving_refresh_seconds: float = Field(
        default=2.0,
        gt=0,
        title="Refresh of the versions",
        description="Seconds between two looks at the registry and at the tokens.",
    )
    serving_max_bytes: int = Field(
        default=4_194_304,
        ge=1_024,
        title="Largest request",
        description="Bytes; larger bodies are refused.",
    )
    serving_read_seconds: float = Field(
        default=30.0,
        gt=0,
        title="Time for a request",
        description="Seconds in which a whole request, headers and body, has to arrive; slower "
        "ones are answered by 408.",
    )
    serving_max_rows: int = Field(
        default=10_000,
        ge=1,
        validation_alias=names("serving_max_rows", "serving_max_trips"),
        title="Most rows of a request",
        description="Requests with more are refused; whole files are for `batch_scoring`.",
    )
    serving_rate: float = Field(
        default=1_000.0,
        ge=0,
        title="Requests per second",
        description="Limit for each token without a rate of its own; 0 sets no limit.",
    )
    batches_folder: Path = Field(
        default_factory=_default_batches_folder,
        title="Folder of batches",
        description="Folder of the files that were sent to be scored, and of their results. "
        "Servers that stand beside one another share it, and so do Airflow's workers where the "
        "files are scored by runs.",
    )
    batches_folders: str = Field(
        default="",
        title="Files that requests may name",
        description="Folders and s3:// addresses, separated by commas, below which a request may "
        "name a file to be scored, instead of sending it. Every token that may predict can have "
        "all of them. Empty for none.",
    )
    batches_max_bytes: int = Field(
        default=268_435_456,
        ge=1_024,
        title="Largest file",
        description="Bytes of a file that is sent; larger ones are refused.",
    )
    batches_unpacked_bytes: int = Field(
        default=4_294_967_296,
        ge=1_024,
        title="Largest file, unpacked",
        description="Bytes of a file that is sent when it is unpacked; of Parquet, as its footer "
        "says.",
    )
    batches_max_rows: int = Field(
        default=20_000_000,
        ge=1,
        title="Most rows of a file",
        description="Rows of a file that is sent; of texts, lines.",
    )
    batches_per_token: int = Field(
        default=20,
        ge=1,
        title="Batches of a token",
        description="Files that are there at once for one token, finished ones among them; "
        "further ones are answered by 429.",
    )
    batches_days: float = Field(
        default=7.0,
        gt=0,
        title="Days of a batch",
        description="Days after which a finished batch is removed, with its file and results.",
    )
    batches_read_seconds: float = Field(
        default=600.0,
        gt=0,
        title="Time for a file",
        description="Seconds in which a file that is sent has to arrive.",
    )
    batches_memory_bytes: int = Field(
        default=4_294_967_296,
        ge=268_435_456,
        title="Memory of a batch",
        description="Bytes that the process may take that scores batches beside the server.",
    )
    batches_airflow_url: str = Field(
        default="",
        title="Airflow that scores batches",
        description="Address of Airflow's api-server, such as http://airflow-api-server:8080, "
        "whose DAG batch_scoring scores the files. Empty: a process beside the server does. The "
        "login is in AIRFLOW_USERNAME and AIRFLOW_PASSWORD.",
    )
    canary_failures: float = Field(
        default=0.01,
        gt=0,
        lt=1,
        title="Canary: failures",
        description="Share of its requests that a canary may fail to answer; the champion answers "
        "them. A canary that surely fails more often is ended.",
    )
    canary_refused: float = Field(
        default=0.01,
        gt=0,
        lt=1,
        title="Canary: refused inputs",
        description="Share of its requests that a canary may refuse by its own declaration; the "
        "champion answers them. A canary that surely refuses more is ended.",
    )
    canary_slower: float = Field(
        default=1.5,
        ge=1,
        title="Canary: latency",
        description="Multiple of the champion's 95th percentile of latency that a canary may take. "
        "A canary that is surely slower is ended.",
    )
    canary_requests: int = Field(
        default=100,
        ge=10,
        title="Canary: least requests",
        description="Requests of each version before faults of a canary count.",
    )
    canary_days: float = Field(
        default=14.0,
        gt=0,
        title="Canary: days",
        description="Days after which a canary ends if no difference has shown; one that answers "
        "all requests stays.",
    )
    request_log_url: str = Field(
        default="",
        title="Request log",
        description="SQLAlchemy address of the database that predictions are logged to, such as "
        "postgresql+psycopg://user@host/name; empty for SQLite in the serving folder.",
    )
    request_log_inputs: bool = Field(
        default=True,
        title="Log the inputs",
        description="Log the inputs of predictions too, and not the answers alone.",
    )
    request_log_days: float = Field(
        default=90.0,
        ge=0,
        title="Days of the request log",
        description="Older predictions and their feedback are removed; 0 keeps all.",
    )
    request_log_buffer: int = Field(
        default=100_000,
        ge=1,
        title="Buffer of the request log",
        description="Most predictions that wait to be written; further ones are dropped and "
        "counted. A server reserves 512 bytes of disk for each.",
    )
    request_log_flush_seconds: float = Field(
        default=0.1,
        gt=0,
        title="Delay of the request log",
        description="Seconds between two writes of gathered predictions; a power cut loses the "
        "predictions of this time, and those being written.",
    )
