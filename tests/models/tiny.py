"""Tiny networks of transformers at random, for tests that need no download."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

# transformers is imported inside: it takes seconds, and not every test needs it.

VIT = {"hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2}
DINOV2 = {"model_type": "dinov2", **VIT, "image_size": 56, "patch_size": 14, "mlp_ratio": 2}
LAYERS = {"out_indices": [1, 2, 3, 4], "reshape_hidden_states": False}
NECK = {"neck_hidden_sizes": [8, 8, 16, 16], "fusion_hidden_size": 16}
PATCHES = {**DINOV2, "num_hidden_layers": 2, "image_size": 16, "patch_size": 8}
BEIT = {"model_type": "beit", **VIT, "intermediate_size": 32, "image_size": 32, "patch_size": 16}

DEPTH: dict[str, dict[str, Any]] = {
    "relative": {  # DepthAnything
        "model_type": "depth_anything",
        "backbone_config": {**DINOV2, **LAYERS},
        "reassemble_hidden_size": 16,
        "head_hidden_size": 8,
        **NECK,
    },
    "dpt": {
        "model_type": "dpt",
        **VIT,
        "intermediate_size": 32,
        "image_size": 32,
        "backbone_out_indices": [0, 1, 2, 3],
        **NECK,
    },
    "dpt_on_dinov2": {
        "model_type": "dpt",
        "hidden_size": 16,
        "backbone_config": {**DINOV2, **LAYERS},
        **NECK,
    },
    "zoedepth": {
        "model_type": "zoedepth",
        "backbone_config": {**BEIT, "use_relative_position_bias": True, **LAYERS},
        "bottleneck_features": 16,
        "num_relative_features": 8,
        "bin_embedding_dim": 8,
        "bin_configurations": [{"n_bins": 8, "min_depth": 1e-3, "max_depth": 10.0}],
        **NECK,
    },
    "depth_pro": {
        "model_type": "depth_pro",
        "patch_size": 16,
        "fusion_hidden_size": 16,
        "intermediate_hook_ids": [1, 0],
        "intermediate_feature_dims": [8, 8],
        "scaled_images_feature_dims": [16, 16, 8],
        "use_fov_model": True,
        **{f"{part}_model_config": PATCHES for part in ("image", "patch", "fov")},
    },
    "glpn": {
        "model_type": "glpn",
        "depths": [1, 1, 1, 1],
        "hidden_sizes": [8, 8, 16, 16],
        "num_attention_heads": [1, 1, 2, 2],
        "decoder_hidden_size": 16,
    },
}
DEPTH["metric"] = {**DEPTH["relative"], "depth_estimation_type": "metric", "max_depth": 20}
BACKBONES: dict[str, dict[str, Any]] = {
    "dinov2": DINOV2,
    "dinov3_vit": {
        "model_type": "dinov3_vit",
        **VIT,
        "intermediate_size": 32,
        "image_size": 32,
        "patch_size": 16,
        "num_register_tokens": 2,
    },
    "convnextv2": {"model_type": "convnextv2", "hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 2, 1]},
    "swin": {
        "model_type": "swin",
        "embed_dim": 8,
        "depths": [1, 1, 1, 1],
        "num_heads": [1, 1, 2, 2],
        "window_size": 2,
        "image_size": 64,
    },
}
# What has to be said of some of them besides.
OPTIONS: dict[str, dict[str, Any]] = {
    "dpt": {"meaning": "relative"},
    "dpt_on_dinov2": {"meaning": "metric"},
    "depth_pro": {"focal_canonical": 60.0},
}


def lively(net: nn.Module, seed: int = 0) -> nn.Module:
    """Give weights at random that make the output depend on the image, and keep it above zero."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in net.named_parameters():
            weight.add_(0.1 * torch.randn(weight.shape, generator=draw))
            if weight.shape == (1,) and name.endswith("bias"):  # of the last layer, before its ReLU
                weight.fill_(1.0)
    return net


def saved(config: dict[str, Any], folder: Path, kind: str = "AutoModelForDepthEstimation") -> nn.Module:
    """Write a lively network of a configuration into a folder, as transformers does, and return it."""
    import transformers

    auto = getattr(transformers, kind)
    net = lively(auto.from_config(transformers.CONFIG_MAPPING[config["model_type"]].from_dict(config)))
    net.save_pretrained(folder)
    done: nn.Module = net.eval()
    return done
