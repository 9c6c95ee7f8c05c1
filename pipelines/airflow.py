"""A DAG file for Airflow: put a copy of it among your DAGs.

It makes a DAG of every migration that RNN_MIGRATOR_CONFIGS names, a config or a folder of configs.
A file of your own can take one config, and say more about its DAG:

    from pipelines.dags import create_dag  # airflow dag

    dag = create_dag("/models/lstm/config.yaml", default_args={"retries": 2})

Airflow looks only into files that hold both words, and takes the DAGs among their globals.
"""

from __future__ import annotations

import os

from pipelines.dags import VARIABLE, create_dags

globals().update(create_dags(os.environ.get(VARIABLE)))
