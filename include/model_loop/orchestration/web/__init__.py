"""Inside Airflow's api-server: the application, the dashboard, and checks of requests."""
