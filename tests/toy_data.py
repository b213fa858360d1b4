"""A datamodule of random batches, for tests of the task without any file."""

from collections.abc import Sequence

from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader

from depthmix.batch import Batch
from depthmix.sample import LabelKind
from depthmix.sources.base import SourceCard
from tests.toy import card, random_batch

KINDS = {
    "planes": LabelKind.NONE,
    "web": LabelKind.AFFINE_DISPARITY,
    "kitti": LabelKind.METRIC_DEPTH,
}


class ToyData(LightningDataModule):
    """One row of each kind per source and batch, the same batches in every run."""

    def __init__(self, steps: int = 10, size: Sequence[int] = (32, 40)) -> None:
        super().__init__()
        self.steps, self.size = steps, (size[0], size[1])
        self.source_names = list(KINDS)
        self.val_names = self.test_names = ["rooms", "internet", "walls"]

    @property
    def cards(self) -> dict[str, SourceCard]:
        return {name: card(kind) for name, kind in KINDS.items()}

    @property
    def val_cards(self) -> dict[str, SourceCard]:
        kinds = (LabelKind.METRIC_DEPTH, LabelKind.AFFINE_DISPARITY, LabelKind.NONE)
        return {name: card(kind) for name, kind in zip(self.val_names, kinds, strict=True)}

    test_cards = val_cards

    def train_batches(self) -> list[Batch]:
        kinds, sources = [*KINDS.values(), KINDS["kitti"]], [0, 1, 2, 2]
        return [random_batch(kinds, seed, self.size, sources) for seed in range(self.steps)]

    def train_dataloader(self) -> DataLoader[Batch]:
        return loader(self.train_batches())

    def val_dataloader(self) -> list[DataLoader[Batch]]:
        return [
            loader([random_batch([c.kind] * 2, 100 + k, self.size)])
            for k, c in enumerate(self.val_cards.values())
        ]

    test_dataloader = val_dataloader


def loader(batches: list[Batch]) -> DataLoader[Batch]:
    return DataLoader(batches, batch_size=None)  # type: ignore[arg-type]
