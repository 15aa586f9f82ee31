"""DAG `alerts`: delivers waiting alerts, and looks at canaries."""

from __future__ import annotations

from airflow.sdk import DAG

from model_loop.orchestration.conventions import Tag, default_args, step
from model_loop.orchestration.forms import alerts_form

DOC = """
### Delivers waiting alerts

Every alert is kept until somebody has got it. Most are delivered in the moment they arise; what
waits, because much failed at once or the mail server did not answer, is delivered here, every five
minutes, as one message.

`canaries` looks at every version that answers a share of the requests, also every five minutes. It
ends a canary that fails, refuses inputs or is slow beyond the bounds of the settings
`MODEL_LOOP_CANARY_…`, that is farther from the truth than the champion, or that shows no difference
in so many days; it proposes one that is nearer. Each is an entry of the history and a mail.

With *send a test*, a test goes through every channel.

**If it fails:** alerts wait, and none is lost. The log says which channel does not take them, and
why. Mend the connection; the next run delivers them. No alert is made of this, as it could not be
delivered either.
"""

with DAG(
    dag_id="alerts",
    description="Delivers alerts that wait, and ends canaries that are due.",
    doc_md=DOC,
    schedule="*/5 * * * *",
    catchup=False,
    is_paused_upon_creation=False,
    max_active_runs=1,
    tags=[Tag.MODEL_LOOP, Tag.ALERTS],
    default_args=default_args(),
    params=alerts_form(),
):
    step("alerts:deliver_waiting", task_id="deliver")()
    step("canaries:watch", task_id="canaries")()
