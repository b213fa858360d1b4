"""Train, validate and test a depth network on mixed sources with Lightning."""

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from jaxtyping import Float
from lightning.pytorch import Callback, LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from depthmix import __version__
from depthmix.average import AverageWeights
from depthmix.batch import Batch
from depthmix.canonical import Form, canonical_maps, form_of
from depthmix.compiled import Call, compiled
from depthmix.doubt import Disagreement
from depthmix.errors import ConfigError
from depthmix.feature_alignment import AlignedFeatures, FeatureAlignment
from depthmix.guard import StepGuard
from depthmix.metrics import METRICS, DepthMetrics, EvaluationSet, format_table, write_images, write_results
from depthmix.metrics.bootstrap import DRAWS
from depthmix.objective import ADAPTIVE, Balance, Objective, ObjectiveValue, Term, check_terms
from depthmix.optimiser import adamw, freeze, in_order_of, parameter_groups, regrouped
from depthmix.prediction import HEADS, Head, Prediction
from depthmix.schedule import Rates, hold, scaled, schedule
from depthmix.sharding import check_strategy, local, shard
from depthmix.shuffle import keys_of
from depthmix.sources.base import SourceCard
from depthmix.terms import head_problems, learns_metres, must_be_known
from depthmix.train_log import FigureWriter, TrainingFigures
from depthmix.trained import Origin, Trained, facts_of, load_trained, neutral_camera, predict_batch
from depthmix.worst import WorstSamples

__all__ = ["DepthTask", "Trained", "load_trained", "predict_batch"]

log = logging.getLogger(__name__)

# What names of validation figures end in; other alignments go by their own name.
ALIGNED = {"none": "", "affine_inverse_depth": "_aligned"}


class DepthTask(LightningModule):
    """Train a network that maps an image to log canonical depth, and to a map for each head.

    The datamodule names the sources: `source_names` and `cards` for training, `val_names`, `val_cards`,
    `test_names`, `test_cards` for evaluation, each in the order of its loaders.

    Args:
        net: takes RGB in [0, 1], [b 3 h w], and gives log canonical depth and the heads [b 1+heads h w].
        terms: loss terms by name.
        focal_canonical: focal length in pixels of the canonical camera, near that of the training images.
        learning_rate: the highest rate; it warms up linearly and falls along a cosine to a hundredth. Changed
            for a training that goes on, it holds from there on, at the same place of the curve.
        weight_decay: of AdamW, on weights but not on biases and norms.
        warmup_steps: steps until the highest rate; at most a tenth of the training.
        balance: how much terms count besides their weights; see `Objective`.
        heads: what the network predicts besides depth, in the order of its further channels.
        patience: steps in a row without a finite gradient after which training gives up; fewer are skipped,
            and their samples are written into `skipped.jsonl` in the run folder.
        layer_decay: factor of the learning rate from each stage of the encoder to the one before it; see
            `parameter_groups`.
        frozen_stages: how many stages of the encoder, from the image inwards, keep their weights; they are
            in eval mode throughout, so that their norms keep their statistics, too.
        checkpoint_gradients: compute values inside the network again in the backward pass instead of
            keeping them: less memory, more time.
        compile: put `torch.compile` on the network in training steps; validation and test run it as it is.
        ema: decay of an exponential moving average of the weights, such as 0.999; it is what validation,
            test and `load_trained` see. See `AverageWeights`.
        feature_alignment: a frozen teacher whose features the network shall resemble; none by default.
        disagreement: how much less samples count whose loss stands out of their source, the worst of which
            are listed in `worst.json` in the run folder; by default all count alike.

    Raises:
        ConfigError: a number is out of its range, a term reads a head that the network lacks, a head is
            trained by no term, or the network lacks what an option needs.
    """

    def __init__(
        self,
        net: nn.Module,
        terms: dict[str, Term],
        focal_canonical: float = 100.0,
        learning_rate: float = 2e-3,
        weight_decay: float = 0.01,
        warmup_steps: int = 100,
        balance: Balance = "gradient",
        heads: list[Head] | None = None,
        patience: int = 10,
        layer_decay: float = 1.0,
        frozen_stages: int = 0,
        checkpoint_gradients: bool = False,
        compile: bool = False,
        ema: float | None = None,
        feature_alignment: FeatureAlignment | None = None,
        disagreement: Disagreement | None = None,
    ) -> None:
        super().__init__()
        for name, value in {"focal_canonical": focal_canonical, "learning_rate": learning_rate}.items():
            if not 0 < value < math.inf:
                raise ConfigError(f"must be positive, got {value}", field=f"model.{name}")
        if not 0 < layer_decay <= 1:
            raise ConfigError(f"must be in (0, 1], got {layer_decay}", field="model.layer_decay")
        if ema is not None and not 0 < ema < 1:
            raise ConfigError(f"must be between 0 and 1, got {ema}", field="model.ema")
        if patience < 1:
            raise ConfigError(f"must be at least 1, got {patience}", field="model.patience")
        if compile and feature_alignment is not None:
            reason = "cannot go with `feature_alignment`: compiled code passes over what looks at features"
            raise ConfigError(reason, field="model.compile", hint="set it to false")
        own = getattr(net, "focal_canonical", None)
        if own is not None and own != focal_canonical:
            reason = f"is {focal_canonical}, but the network's own focal_canonical is {own}"
            raise ConfigError(reason, field="model.focal_canonical", hint="give both the same number")
        _check_heads(net, terms, heads or ())
        # From a configuration all arguments are plain; built in Python some of them hold modules, which a
        # checkpoint that loads without unpickling code cannot keep.
        self.save_hyperparameters(ignore=["net", "terms", "feature_alignment", "disagreement"])
        if "_instantiator" in self.hparams:
            self.save_hyperparameters()
        self.net, self.terms, self.balance, self.heads = net, terms, balance, tuple(heads or ())
        self.focal_canonical = focal_canonical
        self.rates, self.warmup_steps = Rates(learning_rate, weight_decay, layer_decay), warmup_steps
        self.patience = patience
        self._frozen = freeze(net, frozen_stages)
        self._groups = parameter_groups(net, layer_decay)
        if checkpoint_gradients:
            _checkpoint_gradients(net)
        self._compiles, self._average = compile, AverageWeights(ema)
        self._fast: Call | None = None
        self.recipe: dict[str, Any] | None = None  # the configuration behind all options, for checkpoints
        self.feature_alignment, self.disagreement = feature_alignment, disagreement
        self.worst: WorstSamples | None = None  # while it trains
        self.aligned: AlignedFeatures | None = None  # while it trains
        self._scheduler: LambdaLR | None = None  # unless a subclass configures optimisers of its own
        self.image_size = (0, 0)  # the largest of the training images so far
        self.form: Form = "label"

    def setup(self, stage: str) -> None:
        """Fit terms and metrics to what the datamodule brings.

        Raises:
            ConfigError: the terms do not suit the sources, or there is no datamodule.
        """
        data: Any = getattr(self.trainer, "datamodule", None)
        if data is None:
            raise ConfigError("needs a datamodule that names its sources, such as MixData", field="data")
        check_strategy(self.trainer.strategy)
        if str(self.trainer.precision) in ("bf16-true", "16-true"):
            reason = f"{self.trainer.precision} rounds labels and weights to a few digits"
            hint = "set `precision: bf16-mixed`: it computes the network in half precision"
            raise ConfigError(reason, field="trainer.precision", hint=hint)
        self.form = form_of(getattr(data, "augment", None), self.focal_canonical, self.heads)
        if stage == "fit":
            self.cards: dict[str, SourceCard] = {name: data.cards[name] for name in data.source_names}
            check_terms(self.terms, self.cards)
            self.objective = Objective(self.terms, self.balance, self.cards, self.disagreement)
            self.figures = TrainingFigures(list(self.terms), data.source_names, self.balance in ADAPTIVE)
            folder = Path(self.trainer.default_root_dir)
            self.guard = StepGuard(folder, list(self.terms), self.patience)
            if self.disagreement is not None:
                listed = self.disagreement.listed
                self.worst = WorstSamples(folder, list(self.terms), data.source_names, listed)
            self.seed: int = getattr(data, "seed", 0)
            if self.feature_alignment is not None:
                self.aligned = AlignedFeatures(self.feature_alignment, self.net)
        if stage in ("fit", "validate"):
            self.val_metrics = DepthMetrics(_sets(data.val_names, data.val_cards))
        if stage == "test":
            self.test_metrics = DepthMetrics(_sets(data.test_names, data.test_cards))

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c h w"]:
        """Predict log canonical depth and the heads.

        Raises:
            ConfigError: the network refuses the image, or gives a map of another shape.
        """
        if self._compiles and self.training and self._fast is None:
            self._fast = compiled(self.net)
        try:
            maps: Tensor = self._fast(image) if self._fast and self.training else self.net(image)
        except ValueError as error:  # as networks refuse images that are too small for them
            reason = f"refuses a batch of {tuple(image.shape)}: {error}"
            hint = "prepare sets at a size that it takes, or choose another network"
            raise ConfigError(reason, field="model.net", hint=hint) from error
        expected = (image.shape[0], 1 + len(self.heads), *image.shape[-2:])
        if maps.shape != expected:
            reason = f"must give a map of shape {expected}, got {tuple(maps.shape)}"
            raise ConfigError(reason, field="model.net", hint="wrap it in a module that does")
        return maps

    def train(self, mode: bool = True) -> Self:
        """Set the mode of the network, but leave stages that are frozen in eval mode."""
        super().train(mode)
        for stage in self._frozen:
            stage.eval()
        return self

    def predict_rows(self, batch: Batch) -> Prediction:
        """Predict a batch; rows without a camera are seen through the canonical one."""
        height, width = batch.image.shape[-2:]
        neutral = neutral_camera(height, width, self.focal_canonical).to(batch.intrinsics)
        cameras, image = batch.camera_or(neutral), batch.image_float
        if self.form == "image" and not self.training:  # training images come at that focal length
            area = math.prod(self._training_size)
            maps = canonical_maps(self, image, cameras, batch.camera_known, self.focal_canonical, area)
        else:
            maps = self(image)
        return Prediction.from_maps(maps, cameras, self.focal_canonical, self.heads)

    def configure_callbacks(self) -> list[Callback]:
        """Add the ones that write the log and that average the weights."""
        return [FigureWriter(), self._average]

    def configure_model(self) -> None:
        """Split the weights over ranks where the strategy asks for it."""
        if self.device_mesh is not None:
            shard(self.net, self.device_mesh)

    def on_train_start(self) -> None:
        """Forget what an older training wrote about steps that are to come, and take up changed options."""
        decaying = sum(group.decays for group in self._groups)
        changed = hold(self._scheduler, self.rates, decaying) if self._scheduler else []
        if self.trainer.is_global_zero:
            self.guard.begin(self.global_step)
            for text in changed:
                log.warning("%s; give that value again to go on as it was", text)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Make what a network draws, such as dropout, depend on seed and step only: so it can be resumed."""
        torch.manual_seed(keys_of(f"step/{self.global_rank}/{batch_idx}", self.seed, self.current_epoch)[0])

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of one mixed batch."""
        height, width = batch.image.shape[-2:]
        self.image_size = max(self.image_size, (height, width), key=math.prod)
        prediction, distance = (
            self.aligned(self.predict_rows, batch) if self.aligned else (self.predict_rows(batch), None)
        )
        value: ObjectiveValue = self.objective(prediction, batch, self.global_step)
        self.figures.update(value, batch.source)
        self.guard.watch(value, batch)
        if self.worst is not None:
            self.worst.watch(value, batch)
        self.log("train/loss", value.loss.detach(), prog_bar=True, logger=False, batch_size=len(batch))
        return value.loss if distance is None else value.loss + distance

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Leave weights and moments alone in a skipped step: optimisers pass over absent gradients."""
        gradients = [local(parameter.grad) for parameter in self.parameters() if parameter.grad is not None]
        if getattr(self.trainer.precision_plugin, "scaler", None) is not None:
            gradients = []  # half precision overflows until its scaler has found a scale, and skips by itself
        if not self.guard.admits(gradients, self.global_step, self.trainer.is_global_zero):
            for parameter in self.parameters():
                parameter.grad = None

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Measure one batch of a validation set."""
        self.val_metrics.update(self.predict_rows(batch), batch, dataloader_idx)

    def on_validation_epoch_end(self) -> None:
        """Log `val/<set>/<metric>`, and with the suffix `_aligned` after affine alignment."""
        rows = self.val_metrics.rows()
        self.val_metrics.reset()
        if not self.trainer.sanity_checking:
            figures = _validation_figures(rows)
            # Equal on all ranks, so synchronising changes nothing; it only keeps Lightning from warning.
            self.log_dict(figures, sync_dist=True, logger=False)
            self._write(figures)

    def test_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Measure one batch of a test set."""
        self.test_metrics.update(self.predict_rows(batch), batch, dataloader_idx)

    def on_test_epoch_end(self) -> None:
        """Write `test.json`, `test.csv` and `test_images.json` into the run folder and show the table."""
        rows = self.test_metrics.rows(bootstrap=DRAWS) + self.test_metrics.tiers(bootstrap=DRAWS)
        images = self.test_metrics.images()
        self.test_metrics.reset()
        if self.trainer.is_global_zero:
            checkpoint = self.trainer.ckpt_path
            folder = Path(self.trainer.default_root_dir)
            write_results(folder, rows, str(checkpoint) if checkpoint else None)
            write_images(folder, images)
            self.print(format_table(rows))

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return AdamW with linear warm-up and cosine decay over the whole training."""
        self._groups = parameter_groups(self.net, self.rates.layer_decay)
        # The fused form is three times faster on a CPU; elsewhere Lightning refuses to clip with it in fp16.
        fused = self.device.type == "cpu"
        optimizer = adamw(self._groups, self.objective.parameters(), self.rates, fused=fused)
        rate = schedule(self.trainer.estimated_stepping_batches, self.warmup_steps)
        factors = [group.factor for group in self._groups]
        factors += [1.0] * (len(optimizer.param_groups) - len(factors))
        self._scheduler = LambdaLR(optimizer, [scaled(rate, factor) for factor in factors])
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": self._scheduler, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what `load_trained` needs, in plain values."""
        cards: Mapping[str, SourceCard] = getattr(self, "cards", {})
        height, width = self._training_size
        trained = Trained(
            net=self.net,
            focal_canonical=float(self.focal_canonical),
            metric=learns_metres(self.terms, cards),
            height=int(height),
            width=int(width),
            sources={name: card.plain() for name, card in cards.items()},
            heads=self.heads,
            spec=self._net_spec(),
            origin=self._origin(),
            form=self.form,
        )
        skipped = [self.guard.skipped, self.guard.in_a_row]
        checkpoint["depthmix"] = {**facts_of(trained), "skipped": skipped}
        checkpoint["figures"] = self.figures.whole()
        if self.worst is not None:
            self.worst.take_up()
            checkpoint["worst"] = self.worst.plain()
        self._average.save(self.net, checkpoint)
        if states := checkpoint.get("optimizer_states"):
            pairs = zip(self.trainer.optimizers, states, strict=True)
            checkpoint["optimizer_states"] = [in_order_of(self.parameters(), *pair) for pair in pairs]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up what is not in the weights; an evaluation needs no learned weights of terms."""
        self._average.forget()
        weights, own = checkpoint.get("state_dict", {}), self.state_dict()  # split weights are loaded by now
        foreign = [key for key in weights if key.startswith("objective.") and key not in own]
        for key in foreign:
            del weights[key]
        facts = checkpoint.get("depthmix", {})
        if self.trainer.training and "figures" in checkpoint:
            self.guard.skipped, self.guard.in_a_row = facts["skipped"]
            if self.trainer.is_global_zero:  # they are those of all ranks
                self.figures.go_on(checkpoint["figures"])
        if self.worst is not None and "worst" in checkpoint:
            self.worst.go_on(checkpoint["worst"])
        if self.trainer.training and self.device_mesh is None:  # split ones have loaded their moments by now
            self._regroup(checkpoint)
        self.image_size = (facts.get("height", 96), facts.get("width", 128))
        self.form = facts.get("form", "label")

    @property
    def _training_size(self) -> tuple[int, int]:
        return self.image_size if any(self.image_size) else (96, 128)

    def _origin(self) -> Origin:
        mix = getattr(getattr(self.trainer, "datamodule", None), "identity", {})
        return Origin(__version__, self.recipe, mix.get("data", {}), mix.get("weights", {}))

    def _regroup(self, checkpoint: dict[str, Any]) -> None:
        if "optimizer_states" not in checkpoint:
            return
        states = checkpoint["optimizer_states"]
        learned = list(self.objective.parameters())
        found = [regrouped(self.parameters(), self._groups, learned, state) for state in states]
        for old, new, rates in zip(states, found, checkpoint.get("lr_schedulers", []), strict=False):
            if new is not old:
                count = len(new["param_groups"])
                rates |= {name: rates[name][:1] * count for name in ("base_lrs", "_last_lr")}
        checkpoint["optimizer_states"] = found

    def _net_spec(self) -> dict[str, Any] | None:
        # What a network says of itself comes first: it needs no pretrained weights where a state follows.
        given, own = self.hparams.get("net"), getattr(self.net, "spec", None)
        return own if isinstance(own, dict) else given if isinstance(given, dict) else None

    def write_figures(self) -> None:
        """Write the figures of the steps since the last time into the log."""
        if not self.figures.update_called:
            return
        figures = self.figures.figures()
        self.figures.reset()
        figures["train/skipped"] = float(self.guard.skipped)
        figures |= {f"train/{name}": value for name, value in self.objective.figures().items()}
        if self.worst is not None:
            self.worst.take_up()
            figures |= self.worst.figures()
            if self.trainer.is_global_zero:
                self.worst.write(self.global_step)
        if self.aligned and self.aligned.last is not None:
            figures["train/feature_alignment"] = float(self.aligned.last)
        figures["train/learning_rate"] = float(self.trainer.optimizers[0].param_groups[0]["lr"])
        self._write(figures)

    def _write(self, figures: Mapping[str, float]) -> None:
        # With the number of the step itself; Lightning's own count is one less where it logs for us.
        for logger in self.loggers:
            logger.log_metrics({**figures, "epoch": float(self.current_epoch)}, step=self.global_step)


def _check_heads(net: nn.Module, terms: Mapping[str, Term], heads: Sequence[Head]) -> None:
    for head in heads:
        must_be_known(head, list(HEADS), "model.heads")
    if len(set(heads)) < len(heads):
        raise ConfigError(f"a head is named twice: {', '.join(heads)}", field="model.heads")
    problems = head_problems(terms, heads)
    if problems:
        raise ConfigError("\n".join(problems))
    outputs, wanted = getattr(net, "outputs", None), 1 + len(heads)
    if isinstance(outputs, int) and outputs != wanted:
        reason = f"gives {outputs} channels, but depth and heads [{', '.join(heads)}] are {wanted}"
        raise ConfigError(reason, field="model.net", hint=f"set `outputs: {wanted}` in its init_args")


def _checkpoint_gradients(net: nn.Module) -> None:
    turn_on = getattr(net, "checkpoint_gradients", None)
    if not callable(turn_on):
        reason = f"needs a network that can, and {type(net).__name__} has no method `checkpoint_gradients`"
        raise ConfigError(reason, field="model.checkpoint_gradients", hint="set it to false")
    turn_on()


def _sets(names: list[str], cards: Mapping[str, SourceCard]) -> list[EvaluationSet]:
    facts = [(name, cards[name]) for name in names]
    return [
        EvaluationSet(name, card.family, card.quality.name.lower(), card.kind.name) for name, card in facts
    ]


def _validation_figures(rows: list[dict[str, Any]]) -> dict[str, float]:
    return {
        f"val/{row['set']}/{name}" + ALIGNED.get(row["alignment"], f"_{row['alignment']}"): row[name]
        for row in rows
        for name in METRICS
        if row[name] is not None
    }
