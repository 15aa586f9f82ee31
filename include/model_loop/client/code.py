"""A working request for a running server, in the caller's language."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal, get_args

from model_loop.errors import look_up

Language = Literal["curl", "python", "javascript"]
LANGUAGES: tuple[Language, ...] = get_args(Language)

#: Variable from which the examples read the token: a secret does not belong into code.
TOKEN_VARIABLE = "MODEL_LOOP_TOKEN"  # noqa: S105 - the name of a variable


def request_code(language: str, url: str, row: Mapping[str, Any]) -> str:
    """Return code that asks the server at *url* for a prediction and prints the answer.

    Parameters
    ----------
    url
        Address of the server, with the path of the variant where it is not the default one.
    row
        The row to predict, by fields of requests.

    Raises
    ------
    InvalidInputError
        If there is none for this language.
    """
    body = json.dumps({"inputs": [row], "key": "customer-17", "level": 90})
    return look_up("Language", language, _CODE)(f"{url.rstrip('/')}/predict", body)


def _curl(url: str, body: str) -> str:
    return f"""\
curl --fail-with-body --silent --show-error {shlex.quote(url)} \\
  --header "Authorization: Bearer ${TOKEN_VARIABLE}" \\
  --header 'Content-Type: application/json' \\
  --data '{body}'
"""


def _python(url: str, body: str) -> str:
    return f"""\
import json
import os
import urllib.request

request = urllib.request.Request(
    {json.dumps(url)},
    data=json.dumps({body}).encode(),
    headers={{
        "Authorization": f"Bearer {{os.environ['{TOKEN_VARIABLE}']}}",
        "Content-Type": "application/json",
    }},
)
with urllib.request.urlopen(request, timeout=10) as response:
    print(json.dumps(json.load(response)))
"""


def _javascript(url: str, body: str) -> str:
    return f"""\
fetch({json.dumps(url)}, {{
  method: "POST",
  headers: {{
    Authorization: `Bearer ${{process.env.{TOKEN_VARIABLE}}}`,
    "Content-Type": "application/json",
  }},
  body: JSON.stringify({body}),
}})
  .then(async (response) => {{
    if (!response.ok) throw new Error(await response.text());
    console.log(JSON.stringify(await response.json()));
  }})
  .catch((error) => {{
    console.error(error.message);
    process.exitCode = 1;
  }});
"""


_CODE: Mapping[str, Callable[[str, str], str]] = MappingProxyType(
    {"curl": _curl, "python": _python, "javascript": _javascript}
)
