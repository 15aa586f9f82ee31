"""Functions that tasks run; plain, and named by DAG files as `module:function`."""
