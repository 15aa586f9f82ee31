"""The only package that knows Airflow: steps, forms, alerts, schedules, web, XCom backend."""
