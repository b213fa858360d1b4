"""Attacks by checkpoints: each one that is unpickled runs code."""

import io
import json
import os
import zipfile
from pathlib import Path

import torch

import depthmix.cli.training  # noqa: F401  (imported before anything is watched)
from depthmix.trained import load_trained
from tests.security.box import MIB, Box, Runs, attack, bomb, cli, refused_for


class Allocates:
    """Ask for memory when it is unpickled, by a name that torch allows."""

    def __reduce__(self) -> tuple[object, ...]:
        return bytearray, (1 << 44,)


FACTS = {
    "schema": 1,
    "net": {
        "class_path": "depthmix.models.LightDepthNet",
        "init_args": {"widths": [8, 8], "bottleneck": 1},
    },
    "focal_canonical": 100.0,
    "metric": True,
    "height": 24,
    "width": 32,
    "sources": {},
}


def saved(box: Box, **changes: object) -> object:
    from depthmix.models import LightDepthNet

    net = LightDepthNet(widths=(8, 8), bottleneck=1)
    state = {f"net.{name}": value for name, value in net.state_dict().items()}
    content = {"depthmix": dict(FACTS), "state_dict": state, **changes}
    torch.save(content, box.root / "last.ckpt")
    return box.root / "last.ckpt"


def with_facts(box: Box, **changes: object) -> object:
    return saved(box, depthmix={**FACTS, **changes})


def evil(box: Box) -> object:
    return saved(box, callbacks=Runs(f"cp {box.canary} {box.root}/evil"))


@attack
def a_sound_checkpoint_still_loads(box):
    assert load_trained(saved(box)).metric


@attack
def a_checkpoint_runs_a_command(box):
    return load_trained(evil(box))


@attack
def a_checkpoint_runs_a_command_where_the_environment_lets_it(box):
    os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"
    try:
        return load_trained(evil(box))
    finally:
        os.environ.pop("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", None)


def evaluated(box: Box, *more: object, text: str = "") -> str:
    box.copy("data/web")
    config = box.write(
        "mix.yaml",
        "trainer: {logger: false, enable_progress_bar: false, accelerator: cpu}\n"
        "model:\n  net: {class_path: LightDepthNet, init_args: {widths: [8, 8], bottleneck: 1}}\n"
        "  terms:\n    a: {loss: {class_path: LogL1Loss}}\n"
        f"data:\n  root: {box.root / 'data'}\n  workers: 0\n  sources: {{web: {{weight: 1.0}}}}\n"
        f"  val_sources: {{web: web}}\n{text}",
    )
    folder = f"--trainer.default_root_dir={box.root / 'run'}"
    return cli("validate", "--config", config, folder, "--ckpt_path", evil(box), *more)


@attack
def an_evaluation_is_given_a_checkpoint_that_runs_a_command(box):
    said = evaluated(box)
    assert "it was not loaded" in said, said[:500]
    return said


@attack
def an_evaluation_is_given_one_where_the_environment_lets_it(box):
    os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"
    try:
        said = evaluated(box)
    finally:
        os.environ.pop("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", None)
    assert "it was not loaded" in said, said[:500]
    return said


@attack
def a_configuration_asks_to_unpickle_everything(box):
    said = evaluated(box, text="weights_only: false\n")
    assert "weights_only" in said, said[:500]
    return said


@attack
def a_checkpoint_names_a_network_of_another_module(box):
    return load_trained(with_facts(box, net={"class_path": "evil_code.Net"}))


@attack
def a_checkpoint_names_a_program_as_its_network(box):
    net = {"class_path": "depthmix.cli.main.main", "init_args": {"arguments": ["verify", str(box.root)]}}
    return load_trained(with_facts(box, net=net))


@attack
def a_checkpoint_names_a_module_below_ours_that_leads_elsewhere(box):
    return load_trained(with_facts(box, net={"class_path": "depthmix.cli.main.sys.modules"}))


@attack
def facts_of_a_checkpoint_have_other_types(box):
    return load_trained(with_facts(box, focal_canonical="far", sources=[1]))


@attack
def weights_of_a_checkpoint_are_no_tensors(box):
    return load_trained(saved(box, state_dict={"net.stem.weight": "x", 3: 4}))


@attack
def a_checkpoint_asks_for_sixteen_terabytes(box):
    return load_trained(saved(box, callbacks=Allocates()))


@bomb(64)
def a_checkpoint_of_two_megabytes_unpacks_to_half_a_gigabyte(box):
    with zipfile.ZipFile(box.root / "bomb.ckpt", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("archive/version", "3\n")
        with archive.open("archive/data.pkl", "w", force_zip64=True) as member:
            for _ in range(512):
                member.write(bytes(MIB))
    return load_trained(box.root / "bomb.ckpt")


@attack
def a_checkpoint_asks_for_a_billion_blocks(box):
    arguments = {"widths": [8, 8], "bottleneck": 10**9}
    spec = {"class_path": "depthmix.models.LightDepthNet", "init_args": arguments}
    refused_for(lambda: load_trained(with_facts(box, net=spec)), "would have more than")


@attack
def a_checkpoint_asks_for_layers_of_a_million_channels(box):
    arguments = {"widths": [8, 1 << 20], "bottleneck": 0}
    spec = {"class_path": "depthmix.models.LightDepthNet", "init_args": arguments}
    refused_for(lambda: load_trained(with_facts(box, net=spec)), "would have more than|cannot build")


@attack
def a_checkpoint_lets_its_network_read_a_file(box):
    arguments = {"pretrained": str(box.canary)}
    spec = {"class_path": "depthmix.models.LiteDepthNet", "init_args": arguments}
    refused_for(lambda: load_trained(with_facts(box, net=spec)), "read other files")


def folder(box: Box, **changes: object) -> Path:
    """Write a folder in the form of the hub."""
    from safetensors.torch import save_file

    from depthmix.models import LightDepthNet

    net = LightDepthNet(widths=(8, 8), bottleneck=1)
    (box.root / "hub").mkdir()
    save_file(
        {f"net.{name}": value for name, value in net.state_dict().items()}, box.root / "hub/model.safetensors"
    )
    config = {"model_type": "depthmix", "depthmix": {**FACTS, **changes}}
    return box.write("hub/config.json", json.dumps(config)).parent


@attack
def a_sound_folder_of_the_hub_loads(box):
    assert load_trained(folder(box)).metric


@attack
def a_folder_of_the_hub_names_a_network_of_another_module(box):
    return load_trained(folder(box, net={"class_path": "evil_code.Net"}))


@attack
def a_folder_of_the_hub_names_code_of_its_own(box):
    root = folder(box)
    box.write("hub/modeling.py", f"import os; os.system('cp {box.canary} {box.root}/evil')")
    config = json.loads((root / "config.json").read_text())
    config["auto_map"] = {"AutoModelForDepthEstimation": "modeling.Net"}
    (root / "config.json").write_text(json.dumps(config))
    assert load_trained(root).metric


@attack
def a_folder_of_the_hub_holds_a_pickle(box):
    root = folder(box)
    torch.save(Runs(f"cp {box.canary} {box.root}/evil"), root / "pytorch_model.bin")
    (root / "model.safetensors").unlink()
    refused_for(lambda: load_trained(root), "no such checkpoint")


@attack
def facts_of_a_folder_of_the_hub_fill_the_memory(box):
    root = folder(box)
    (root / "config.json").write_text('{"depthmix": [' + "[]," * 30_000_000 + "[]]}")
    refused_for(lambda: load_trained(root), "more than the 1048576 bytes")


@attack
def a_folder_of_the_hub_has_a_pipe_for_its_facts(box):
    root = folder(box)
    (root / "config.json").unlink()
    os.mkfifo(root / "config.json")
    refused_for(lambda: load_trained(root), "holds no config.json")


@attack
def a_checkpoint_is_an_old_pickle(box):
    buffer = io.BytesIO()
    torch.save({"a": Runs("true")}, buffer, _use_new_zipfile_serialization=False)
    return load_trained(box.write("old.ckpt", buffer.getvalue()))
