"""Commands of the local stack; the Makefile calls them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import requests
from cyclopts import App, CycloptsError, Parameter
from dotenv import load_dotenv
from rich.console import Console
from rich.table import Table

from model_loop.errors import ModelLoopError
from model_loop.local.dataset_demo import run_dataset
from model_loop.local.demo import Demo, DemoRequest
from model_loop.local.env_example import env_example
from model_loop.local.mails import chosen, list_mails, mails_in, show_mail
from model_loop.local.preflight import LocalStackError
from model_loop.local.stack import ADMIN, LocalStack
from model_loop.local.start import api_of, ensure_up
from model_loop.local.supervision import Supervision
from model_loop.settings import get_settings, split_list
from model_loop.sources.allowed import named_sources

BAD_INPUT = 2
FAILED = 1
NOT_RUNNING = 3
INTERRUPTED = 130

_PROJECT = Path(__file__).resolve().parents[3]

app = App(name="python -m model_loop.local", help=__doc__)
console = Console(soft_wrap=True)


@Parameter(name="*")
@dataclass(frozen=True)
class DemoOptions:
    """Options of the demo; options that are left out take the forms' defaults.

    Parameters
    ----------
    dataset
        Name of a dataset, or its TOML file; the one of the setting `variant` by default.
    source
        A folder, an https:// address, or a word for a source of the dataset's own.
    service
        Variant of the dataset.
    train, validation, test
        Partitions, separated by commas.
    recipe
        Columns that the models may know.
    encoding
        one_hot or native.
    evaluations
        Trials per family.
    models
        scikit-learn families, separated by commas.
    """

    dataset: str | None = None
    source: str | None = None
    service: str | None = None
    train: str | None = None
    validation: str | None = None
    test: str | None = None
    recipe: str | None = None
    encoding: str | None = None
    evaluations: int = 3
    models: str | None = None

    def request(self) -> DemoRequest:
        """Convert to a request with the fields of the DAGs' forms."""
        return DemoRequest(
            source=self._source(),
            service=self.service,
            train_months=_words(self.train),
            validation_months=_words(self.validation),
            test_months=_words(self.test),
            recipe=self.recipe,
            encoding=self.encoding,
            max_evaluations=self.evaluations,
            models=_words(self.models),
        )

    def _source(self) -> str | None:
        # Tasks run elsewhere: a folder is named from the root.
        if self.source in {None, *named_sources()} or "://" in str(self.source):
            return self.source
        return str(Path(str(self.source)).resolve())


_DEMO = DemoOptions()


def main() -> None:
    """Run a command; what goes wrong ends it with one message, no traceback."""
    load_dotenv(_PROJECT / ".env")
    try:
        sys.exit(app(exit_on_error=False, print_error=False, result_action="return_value") or 0)
    except KeyboardInterrupt:
        console.print("Interrupted. Started processes go on; stop them with `make down`.")
        sys.exit(INTERRUPTED)
    except requests.RequestException as error:
        _fail(
            f"Airflow does not answer any more ({error}). See `make status` and `make logs`.",
            FAILED,
        )
    except LocalStackError as error:
        _fail(error, FAILED)
    except (ModelLoopError, CycloptsError) as error:
        _fail(error, BAD_INPUT)


@app.command
def up() -> None:
    """Start everything and wait until it answers."""
    stack = _stack()
    ensure_up(stack, console)
    _print_addresses(stack)


@app.command
def down() -> None:
    """Stop every process that was started, also after a crash."""
    for command in Supervision(_stack()).stop():
        console.print(f"  stopped what was left behind: {command}")
    console.print("Everything is stopped.")


@app.command
def status() -> int:
    """Show how each process is; exit code 3 unless all run."""
    stack = _stack()
    processes = Supervision(stack).status()
    if not processes:
        console.print("Nothing runs. Start it with `make up`.")
        return NOT_RUNNING
    table = Table("process", "state", "details")
    for process in processes:
        table.add_row(process.name, process.state, process.description)
    console.print(table)
    _print_addresses(stack)
    return 0 if all(process.state == "RUNNING" for process in processes) else NOT_RUNNING


@app.command
def logs(
    *, lines: int = 20, follow: Annotated[bool, Parameter(negative="--no-follow")] = True
) -> int:
    """Show the logs of all processes.

    Parameters
    ----------
    lines
        Number of lines of each log.
    follow
        Go on until interrupted.
    """
    files = sorted(_stack().logs.glob("*.log"))
    if not files:
        console.print("There are no logs yet. Start everything with `make up`.")
        return NOT_RUNNING
    command = ["tail", "-n", str(lines), *(["-F"] if follow else []), *map(str, files)]
    try:
        return subprocess.run(command, check=False).returncode  # noqa: S603 - our own command
    except KeyboardInterrupt:
        return 0


@app.command
def mail(number: int | None = None, *, browser: bool = True) -> None:
    """List the mails that the local mail server has kept, and show one.

    Parameters
    ----------
    number
        Number in the list; left out, the newest.
    browser
        Open it in the browser where there is one; otherwise it is printed.
    """
    stack = _stack()
    mails = mails_in(stack.mails)
    if not mails:
        console.print(f"No mail has come yet (they are kept in {stack.mails}).")
        return
    if number is None:
        list_mails(mails, console)
    show_mail(chosen(mails, number or 1), stack.state / "mail-page", console, browser=browser)


@app.command
def demo(options: DemoOptions = _DEMO) -> int:
    """Run the main job: prepare partitions, tune and train all families, show the results."""
    stack = _stack()
    if options.dataset is not None:
        outcome = run_dataset(
            stack,
            options.dataset,
            families=_words(options.models),
            evaluations=options.evaluations,
            console=console,
        )
        _print_addresses(stack)
        return outcome
    request = options.request()
    ensure_up(stack, console)
    Demo(api_of(stack), console).run(request)
    _print_addresses(stack)
    return 0


# All further arguments are Airflow's, with --help and --version.
@app.command(help_flags=(), version_flags=())
def airflow(*arguments: Annotated[str, Parameter(allow_leading_hyphen=True)]) -> int:
    """Run a command of Airflow's command line in the local stack."""
    stack = _stack()
    if not stack.database.exists():
        raise LocalStackError(
            f"Airflow under {stack.state}", "was never started", "Start it with `make up`."
        )
    command = [str(Path(sys.executable).parent / "airflow"), *arguments]
    return subprocess.run(command, env=stack.environment(), check=False).returncode  # noqa: S603 - the user's own command


@app.command
def clean() -> None:
    """Stop everything and remove the state folder."""
    stack = _stack()
    Supervision(stack).stop()
    shutil.rmtree(stack.state, ignore_errors=True)
    console.print(f"Removed {stack.state}.")


@app.command(name="env-example")
def print_env_example() -> None:
    """Print every setting with its default, as in .env.example."""
    sys.stdout.write(env_example())


def _stack() -> LocalStack:
    return LocalStack(_PROJECT, get_settings())


def _print_addresses(stack: LocalStack) -> None:
    console.print(f"Airflow  {stack.airflow_url}  (login {ADMIN} / {stack.password})")
    console.print(f"MLflow   {stack.mlflow_url}")
    console.print(f"Mails    {stack.mails}  (read them with `make mail`)")
    console.print("Stop it all with `make down`.")


def _words(text: str | None) -> list[str] | None:
    return None if text is None else split_list(text)


def _fail(error: Exception | str, code: int) -> None:
    Console(stderr=True, soft_wrap=True).print(
        f"[bold red]Error:[/] {str(error).replace('[', chr(92) + '[')}", highlight=False
    )
    sys.exit(code)


if __name__ == "__main__":
    main()
