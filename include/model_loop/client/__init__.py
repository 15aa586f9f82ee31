"""A client of the prediction server, which needs nothing but `requests`."""

from model_loop.client.answers import BatchStatus, ModelsAnswer, Prediction
from model_loop.client.api import Client, Execution
from model_loop.client.errors import (
    BatchFailedError,
    ClientError,
    ClientTimeoutError,
    ConflictingRequestError,
    ForbiddenRequestError,
    NothingThereError,
    RefusedInputError,
    ServerFailedError,
    ThrottledRequestError,
    UnauthorizedRequestError,
    UnreachableServerError,
)

__all__ = [
    "BatchFailedError",
    "BatchStatus",
    "Client",
    "ClientError",
    "ClientTimeoutError",
    "ConflictingRequestError",
    "Execution",
    "ForbiddenRequestError",
    "ModelsAnswer",
    "NothingThereError",
    "Prediction",
    "RefusedInputError",
    "ServerFailedError",
    "ThrottledRequestError",
    "UnauthorizedRequestError",
    "UnreachableServerError",
]
