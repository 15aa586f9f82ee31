"""From what happens in Airflow to alerts, and the channels that these go through."""
