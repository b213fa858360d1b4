"""Attacks by configurations, options and run folders that a stranger wrote."""

import json

import depthmix.cli.training  # noqa: F401  (imported before anything is watched)
from tests.security.box import MIB, Box, attack, bomb, cli

LAUGHS = "\n".join(
    ["a0: &a0 [ha, ha, ha, ha, ha, ha, ha, ha, ha, ha]"]
    + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
)


def config(box: Box, *, net: str = "LightDepthNet", loss: str = "LogL1Loss", more: str = "") -> object:
    box.copy("data/web")
    text = (
        f"model:\n  net: {net}\n  terms:\n    a: {{loss: {loss}}}\n"
        f"data:\n  root: {box.root / 'data'}\n  sources: {{web: {{weight: 1.0}}}}\n{more}"
    )
    return box.write("mix.yaml", text)


def named(text: str, *wanted: str) -> str:
    """Return what a command said, if it said what it had to."""
    assert any(part in text for part in wanted), text[:500]
    return text


@attack
def a_sound_configuration_still_checks(box):
    net = "{class_path: LightDepthNet, init_args: {widths: [8, 8], bottleneck: 1}}"
    assert "0 problems" in cli("check", config(box, net=net))


@attack
def a_configuration_laughs_a_billion_times(box):
    return named(cli("check", box.write("mix.yaml", LAUGHS)), "aliases written out")


@attack
def a_configuration_merges_a_billion_times(box):
    lines = ["a0: &a0 {k: v}"]
    lines += [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}" for n in range(1, 10)]
    return named(cli("check", box.write("mix.yaml", "\n".join(lines))), "aliases written out")


@attack
def a_configuration_holds_itself(box):
    return named(cli("check", box.write("mix.yaml", "model: &a {b: *a}\n")), "holds itself")


@attack
def a_configuration_is_nested_without_end(box):
    return named(cli("check", box.write("mix.yaml", "a: " + "[" * 20_000)), "nested deeper")


@attack
def a_configuration_has_a_terabyte(box):
    return named(cli("check", box.sparse("mix.yaml", 1 << 40)), "bytes")


@attack
def a_configuration_holds_a_python_object(box):
    text = f"model: !!python/object/apply:os.system ['cp {box.canary} {box.root}']\n"
    return named(cli("check", box.write("mix.yaml", text)), "not valid YAML")


@attack
def a_configuration_holds_a_number_of_five_thousand_digits(box):
    return named(cli("check", box.write("mix.yaml", f"seed_everything: {'9' * 5000}\n")), "problem")


@attack
def a_configuration_holds_the_99th_of_a_month(box):
    return named(cli("check", box.write("mix.yaml", "seed_everything: 2001-99-99\n")), "problem")


@attack
def a_configuration_speaks_to_the_terminal(box):
    return cli("check", box.write("mix.yaml", '"\\e[2J\\u202eevil": 1\n'))


@attack
def a_network_of_another_module_is_checked(box):
    return named(cli("check", config(box, net="evil_code.Net")), "no part of depthmix", "problem")


@attack
def a_loss_of_another_module_is_checked(box):
    return named(cli("check", config(box, loss="evil_code.Net")), "no part of depthmix", "problem")


@attack
def a_loss_is_a_function_of_the_system(box):
    return named(cli("check", config(box, loss="os.system")), "no DepthLoss is called", "problem")


@attack
def a_network_is_a_program(box):
    net = "{class_path: subprocess.Popen, init_args: {args: [touch, evil]}}"
    return named(cli("check", config(box, net=net)), "no Module is called", "problem")


@attack
def a_network_of_another_module_is_mixed(box):
    return cli("mix", config(box, net="evil_code.Net"), "--steps", "2")


@attack
def a_network_asks_for_a_petabyte(box):
    net = "{class_path: torch.nn.Linear, init_args: {in_features: 1000000000, out_features: 1000000}}"
    return named(cli("check", config(box, net=net)), "problem")


@attack
def options_of_a_source_laugh_a_billion_times(box):
    box.write("raw/a.jpg", b"x")
    options = box.write("options.yaml", LAUGHS)
    return named(
        cli("prepare", "FolderSource", box.root / "raw", box.root / "out", "--options", options), "YAML"
    )


@attack
def the_configuration_in_a_run_folder_laughs_a_billion_times(box):
    box.copy("data/web")
    text = LAUGHS + "\ndata: {sources: {web: {path: *a9}}}\n"
    box.write("run/config.yaml", text)
    return cli("report", box.root / "run", "--data", box.root / "data")


@attack
def the_results_in_a_run_folder_are_nested_without_end(box):
    box.write("run/test.json", "[" * 100_000)
    return cli("report", box.root / "run", "--data", box.root)


@bomb(512)
def the_results_in_a_run_folder_are_twenty_million_lists(box):
    box.write("run/test.json", "[" + "[]," * (20 * MIB) + "[]]")
    return cli("report", box.root / "run", "--data", box.root)


@attack
def the_results_in_a_run_folder_are_a_link_to_a_file_outside(box):
    (box.root / "run").mkdir()
    (box.root / "run" / "test.json").symlink_to(box.canary)
    return cli("report", box.root / "run", "--data", box.root)


@attack
def the_results_in_a_run_folder_have_other_types(box):
    box.write("run/test.json", json.dumps({"rows": [{"set": [], "alignment": {}, "abs_rel": "x"}]}))
    return cli("report", box.root / "run", "--data", box.root)


@attack
def a_progress_file_of_verify_is_made_up(box):
    import os

    root = box.copy()
    head = b'{"depthmix verify": 1}\n'
    (root / "00000.h5").write_bytes(b"x" * (root / "00000.h5").stat().st_size)
    progress = box.write("done", head + b'{"shard": 1, "state": 2}\n[[[\n"\n{"shard": "' + bytes(9) + b"\n")
    assert "differs from its record" in cli("verify", root, "--resume", progress)
    assert not os.path.lexists(progress)
