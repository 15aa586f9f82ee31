"""Connections of databases, looked up where Airflow keeps them."""

from __future__ import annotations

from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowNotFoundException

from model_loop.databases.connections import look_up_by
from model_loop.datasets.declaration import DatabaseSource
from model_loop.datasets.registry import dataset_of_variant


def find_connection(name: str) -> str | None:
    """Return a connection as an address, from Airflow's secrets backends; None if there is none."""
    try:
        found: str = Connection.get(name).get_uri()
    except AirflowNotFoundException:
        return None
    return found


async def connections_of(variant: str) -> dict[str, str]:
    """Return the connections that the partitions of a variant are read by, for a trigger.

    Its loop may not be kept waiting, and the threads that it starts cannot ask Airflow. An empty
    text stands for a connection that is not there.
    """
    declared = dataset_of_variant(variant).declaration
    source = declared and declared.source_of(variant.partition(".")[2] or None)
    if not isinstance(source, DatabaseSource):
        return {}
    try:
        found = await Connection.async_get(source.connection)
        return {source.connection: await found.aget_uri()}
    except AirflowNotFoundException:
        return {source.connection: ""}


look_up_by(find_connection)
