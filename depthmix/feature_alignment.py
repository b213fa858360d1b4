"""Keep a student's features near those of a frozen teacher, beside what its predictions learn from."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from depthmix.batch import Batch
from depthmix.errors import ConfigError
from depthmix.features import features_of, layer_of
from depthmix.masked import at_least_float32
from depthmix.prediction import Prediction
from depthmix.trained import load_trained

__all__ = ["AlignedFeatures", "FeatureAlignment", "feature_alignment"]

SEED = 0  # of the projection between features of unequal widths


def feature_alignment(
    student: Float[Tensor, "b c h w"], teacher: Float[Tensor, "b c h w"], margin: float = 0.85
) -> Float[Tensor, " b"]:
    """Average one minus the cosine of two features over the places where it is at most `margin`.

    Args:
        student: features to be trained.
        teacher: features that they shall resemble, at the same places.
        margin: a cosine above which a place counts 0 and has no gradient: depth may tell apart what a teacher
            of semantics holds for one thing.

    Convention: the sum over the places within the margin, over the number of all places; so the loss fades
    as places pass the margin, and the last ones do not weigh more.

    Reference: Yang et al., Depth Anything (arXiv 2401.10891), equations 9 and 10.

    Example:
        >>> axes = torch.eye(2).view(2, 2, 1, 1)
        >>> feature_alignment(axes, axes.flip(0)), feature_alignment(axes, 3 * axes)
        (tensor([1., 1.]), tensor([0., 0.]))
    """
    cosine = functional.cosine_similarity(at_least_float32(student), at_least_float32(teacher), dim=1)
    return torch.where(cosine > margin, 0, 1 - cosine).flatten(1).mean(1)


@dataclass(frozen=True)
class FeatureAlignment:
    """Say whose features a network shall resemble, and how closely; the teacher is never trained nor saved.

    Args:
        teacher: checkpoint of a depthmix run, or a network, such as a pretrained `LiteDepthNet`.
        weight: factor of the loss. It is added as it is: balancing is about terms at the prediction.
        margin: see `feature_alignment`.
        student_layer: name of the module of the network being trained whose output is compared, such as
            `middle`; "" takes the last of its `stages`, or else its `encoder`.
        teacher_layer: the same of the teacher.

    Raises:
        ConfigError: `weight` or `margin` is out of its range.
    """

    teacher: str | nn.Module
    weight: float = 1.0
    margin: float = 0.85
    student_layer: str = ""
    teacher_layer: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.weight < float("inf"):
            reason = f"must be finite and not negative, got {self.weight}"
            raise ConfigError(reason, field="model.feature_alignment.weight")
        if not -1 < self.margin <= 1:
            reason = f"must be in (-1, 1], got {self.margin}"
            raise ConfigError(reason, field="model.feature_alignment.margin")


class AlignedFeatures:
    """Compare the features of a network in training with those of its teacher.

    It is no module: neither weights nor a state of it belong to the training. Where the widths differ, the
    teacher's features go through a fixed projection with orthonormal rows or columns, which keeps angles
    about as they are; the same one in every run. Where the grids differ, they are brought to the student's.

    Args:
        options: the teacher, and what of it is compared.
        net: the network in training.

    Raises:
        ConfigError: the teacher cannot be loaded, or a layer does not exist.
    """

    def __init__(self, options: FeatureAlignment, net: nn.Module) -> None:
        self.teacher = _network(options.teacher)
        self.teacher.requires_grad_(False).eval()
        self.options = options
        self._layers = {
            name: layer_of(module, getattr(options, name), f"model.feature_alignment.{name}")
            for name, module in (("student_layer", net), ("teacher_layer", self.teacher))
        }
        self._projection: Tensor | None = None
        self.last: Float[Tensor, ""] | None = None  # of the last step, before the weight

    def __call__(
        self, predict: Callable[[Batch], Prediction], batch: Batch
    ) -> tuple[Prediction, Float[Tensor, ""]]:
        """Predict a batch, and return the prediction and the weighted loss, the mean over rows.

        Args:
            predict: runs the network in training.
            batch: both networks see its images as they are, variation included.

        Raises:
            ConfigError: a layer gives no map of features.
        """
        image = batch.image_float
        prediction, student = self._watched("student_layer", lambda: predict(batch))
        with torch.no_grad():
            self.teacher.to(image.device)
            _, teacher = self._watched("teacher_layer", lambda: self.teacher(image))
        with torch.autocast(image.device.type, enabled=False):
            teacher = functional.interpolate(
                at_least_float32(teacher), student.shape[-2:], mode="bilinear", align_corners=False
            )
            value = feature_alignment(student, self._projected(teacher, student), self.options.margin).mean()
        self.last = value.detach()
        return prediction, self.options.weight * value

    def _watched(self, name: str, work: Callable[[], Any]) -> tuple[Any, Float[Tensor, "b c h w"]]:
        """Do some work, and return with its result what a layer gave meanwhile."""
        return features_of(self._layers[name], work, f"model.feature_alignment.{name}")

    def _projected(
        self, teacher: Float[Tensor, "b c h w"], student: Float[Tensor, "b d h w"]
    ) -> Float[Tensor, "b d h w"]:
        inner, outer = teacher.shape[1], student.shape[1]
        if inner == outer:
            return teacher
        if self._projection is None or self._projection.device != teacher.device:
            draw = torch.Generator().manual_seed(SEED)
            matrix = nn.init.orthogonal_(torch.empty(outer, inner), generator=draw)
            self._projection = matrix.to(teacher.device)
        return torch.einsum("dc,bchw->bdhw", self._projection.to(teacher.dtype), teacher)


def _network(teacher: str | nn.Module) -> nn.Module:
    if isinstance(teacher, nn.Module):
        return teacher
    try:
        return load_trained(teacher).net
    except ConfigError as error:
        field = "model.feature_alignment.teacher"
        raise ConfigError(error.reason, file=error.file, field=field, hint=error.hint) from error
