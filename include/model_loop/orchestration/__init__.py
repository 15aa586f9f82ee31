"""The only package that knows Airflow: XCom backend, forms, mails, assets and task functions."""
