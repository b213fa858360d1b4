"""Networks of depthmix that load from a folder or from the Hugging Face hub by name."""

from pathlib import Path
from typing import Any, Self

from jaxtyping import Float
from torch import Tensor, nn

from depthmix.artefact import CONFIG, WEIGHTS
from depthmix.errors import ConfigError
from depthmix.export.card import model_card
from depthmix.export.folder import write_folder
from depthmix.trained import Trained, load_trained

try:  # at the top for once: a base class cannot wait until a function is called
    from huggingface_hub import ModelCard, PyTorchModelHubMixin, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
except ImportError as error:
    raise ConfigError(f"{error.name} is not installed", hint="pip install depthmix[hub]") from error

__all__ = ["HubDepthModel", "hub_folder"]


class HubDepthModel(nn.Module, PyTorchModelHubMixin, library_name="depthmix"):
    """Give what the network gives, and load, save and push it as the hub does.

    `save_pretrained(folder)` and `push_to_hub(name)` are those of `huggingface_hub`; the folder is that of
    `depthmix export --format hf`. A folder of a stranger runs no code: its network is one of depthmix, and
    its weights are read from `safetensors` alone.

    Args:
        trained: the network with its facts.

    Example:
        >>> from depthmix.models import LightDepthNet
        >>> net = LightDepthNet(widths=(8,), bottleneck=0)
        >>> model = HubDepthModel(Trained(net, 100.0, True, 96, 128, {}, spec=net.spec))
        >>> model(torch.zeros(1, 3, 48, 64)).shape
        torch.Size([1, 1, 48, 64])
    """

    _hub_mixin_config = {}  # noqa: RUF012  # else the mixin would copy weights into it

    def __init__(self, trained: Trained) -> None:
        super().__init__()
        self.trained, self.net = trained, trained.net

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c h w"]:
        """Return log canonical depth and the heads for RGB in [0, 1]."""
        maps: Tensor = self.net(image)
        return maps

    @classmethod
    def from_pretrained(  # type: ignore[override]  # no options of a constructor, which the facts replace
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        force_download: bool = False,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        revision: str | None = None,
    ) -> Self:
        """Return the network of a folder, or of that name on the hub, in eval mode.

        Args:
            pretrained_model_name_or_path: the folder, or a name such as `owner/network`.
            force_download: fetch it again.
            token: of the hub.
            cache_dir: where what is fetched is kept.
            local_files_only: fetch nothing.
            revision: branch, tag or commit.

        Raises:
            ConfigError: no such folder and no such name, or what lies there is no network of depthmix.
        """
        folder = hub_folder(
            pretrained_model_name_or_path,
            force_download=force_download,
            token=token,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
            revision=revision,
        )
        return cls(load_trained(folder)).eval()

    def _save_pretrained(self, save_directory: Path) -> None:
        write_folder(self.trained, save_directory)

    def generate_model_card(self, *args: Any, **options: Any) -> ModelCard:
        """Return the model card, without figures: those lie beside a checkpoint."""
        return ModelCard(model_card(self.trained, options.get("name", "depthmix"), **options))


def hub_folder(name: str | Path, **options: Any) -> Path:
    """Return a folder as it is, and for a name on the hub the folder that its files were fetched to.

    Args:
        name: folder or name.
        options: of `huggingface_hub.snapshot_download`.

    Raises:
        ConfigError: there is no such folder, and none of that name can be fetched.
    """
    if Path(name).is_dir():
        return Path(name)
    try:
        found = snapshot_download(str(name), allow_patterns=[CONFIG, WEIGHTS], **options)
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = f"is no folder, and cannot be fetched from the hub: {str(error).splitlines()[0]}"
        raise ConfigError(reason, file=name, hint="give a folder, or owner/network") from error
    return Path(found)
