"""Options that every MLflow server is started with, on one machine and on many."""

from __future__ import annotations

#: uvicorn kills a worker that does not answer within five seconds. On a loaded machine these are
#: over before the worker has started: it is killed again and again, and the server never answers.
PATIENT_WORKERS = "--timeout-worker-healthcheck 300"
