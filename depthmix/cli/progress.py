"""Progress bars with rate and estimated time left."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from depthmix.errors import visible

__all__ = ["Update", "bar"]


class Update(Protocol):
    """Move a bar: how many are done, of how many, and a note such as "3 skipped"."""

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Show the new state."""


class _Rate(ProgressColumn):
    """Samples a second, over the last half minute."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f}/s" if task.speed else "", style="progress.data.speed")


@contextmanager
def bar(title: str) -> Iterator[Update]:
    """Show one bar on standard error while the block runs."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        # Unseen until there is something to show: no empty bar above an error, or where nothing was to do.
        task = progress.add_task(f"{visible(title):24}", total=None, note="", visible=False)

        def update(done: int, total: int, note: str = "") -> None:
            progress.update(task, completed=done, total=total, note=note, visible=True)

        yield update
