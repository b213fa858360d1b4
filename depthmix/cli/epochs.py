"""What `fit` shows: three numbers beside the bar, and a table of the sources after each epoch."""

from collections.abc import Mapping
from shutil import get_terminal_size
from typing import Any, Final

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import RichProgressBar
from rich.progress import BarColumn

from depthmix.run_log import RunLog

__all__ = ["EpochTable", "FewNumbers", "epoch_table"]

# What is worth a column of validation, by the end of its name in the log.
SHOWN: Final = ("abs_rel", "abs_rel_aligned", "delta1")
SHORTEST_BAR: Final = 5
BESIDE_BAR: Final = 74  # characters of "epoch 10 of 32", batches, times, speed, loss and learning rate


class FewNumbers(RichProgressBar):
    """Show the loss, the learning rate and how many steps were skipped beside the bar, and nothing else."""

    def configure_columns(self, trainer: Trainer) -> list[Any]:
        """Draw the bar as short as the numbers beside it want: they would go on in a second line."""
        columns = super().configure_columns(trainer)
        for column in columns:
            if isinstance(column, BarColumn):
                column.bar_width = max(SHORTEST_BAR, min(40, get_terminal_size().columns - BESIDE_BAR))
        return columns

    def _get_train_description(self, current_epoch: int) -> str:
        """Count epochs from 1, as the table does; Lightning counts from 0."""
        return epoch_name(current_epoch, self.trainer.max_epochs)

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """Return at most three numbers."""
        found = super().get_metrics(trainer, pl_module)
        shown = {"loss": found["train/loss"]} if "train/loss" in found else {}
        if trainer.training and trainer.optimizers:
            # As text: three digits behind the point, as other numbers get them, are 0.000 while it warms up.
            shown["lr"] = f"{float(trainer.optimizers[0].param_groups[0]['lr']):.2g}"
        skipped = getattr(getattr(pl_module, "guard", None), "skipped", 0)
        return {**shown, **({"skipped": float(skipped)} if skipped else {})}


class EpochTable(Callback):
    """Print the mean of every term over the epoch, source by source, and the validation of the epoch."""

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Read the epoch back from the log."""
        log = next((one for one in trainer.loggers if isinstance(one, RunLog)), None)
        if log is not None and trainer.is_global_zero:
            text = epoch_table(log.means(trainer.current_epoch), trainer.current_epoch, trainer.max_epochs)
            if text:
                print(text, flush=True)


def epoch_table(figures: Mapping[str, float], epoch: int, epochs: int | None = None) -> str:
    """Lay out the figures of an epoch as lines of text.

    Args:
        figures: named as in the log: `train/sources/TERM/SOURCE`, `val/SET/FIGURE`.
        epoch: counted from 0.
        epochs: of the whole training; None or -1 where there is no end.

    Returns:
        One line per source and per validation set below their heads; empty without figures.

    Example:
        >>> print(epoch_table({"train/sources/ssi/web": 0.5, "train/sources/ssi/kitti": 0.25}, 0, 8))
        epoch 1 of 8    ssi
          web         0.500
          kitti       0.250
    """
    trained, terms = _by_source(figures)
    measured = _validation(figures)
    if not trained and not measured:
        return ""
    number = epoch_name(epoch, epochs)
    width = max(map(len, [number, "validation", *(f"  {name}" for name in (*trained, *measured))]))
    lines = _lines(number, terms, trained, width) if trained else [number]
    return "\n".join(lines + (_lines("validation", list(SHOWN), measured, width) if measured else []))


def epoch_name(epoch: int, epochs: int | None) -> str:
    """Name an epoch, counted from 0, as people count."""
    return f"epoch {epoch + 1}" + (f" of {epochs}" if epochs and epochs > 0 else "")


def _by_source(figures: Mapping[str, float]) -> tuple[dict[str, dict[str, float]], list[str]]:
    found: dict[str, dict[str, float]] = {}
    terms: list[str] = []
    for name, value in figures.items():
        if name.startswith("train/sources/"):
            term, source = name.split("/")[2:4]
            found.setdefault(source, {})[term] = value
            terms += [term] if term not in terms else []
    return found, terms


def _validation(figures: Mapping[str, float]) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for name, value in figures.items():
        if name.startswith("val/") and name.rpartition("/")[2] in SHOWN:
            place, _, figure = name.removeprefix("val/").rpartition("/")
            found.setdefault(place, {})[figure] = value
    return found


def _lines(head: str, columns: list[str], rows: Mapping[str, Mapping[str, float]], width: int) -> list[str]:
    """Write a dash where a source does not take part in a term."""
    texts = {name: [_number(values.get(column)) for column in columns] for name, values in rows.items()}
    widths = [max(map(len, column), default=0) for column in zip(columns, *texts.values(), strict=True)]
    widths = [max(6, width) for width in widths]
    cells = [f"{column:>{wide}}" for column, wide in zip(columns, widths, strict=True)]
    lines = [f"{head:<{width}} " + "  ".join(cells)]
    for name, row in texts.items():
        cells = [f"{text:>{wide}}" for text, wide in zip(row, widths, strict=True)]
        lines.append(f"{f'  {name}':<{width}} " + "  ".join(cells))
    return lines


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}" if abs(value) < 100 else f"{value:.3g}"
