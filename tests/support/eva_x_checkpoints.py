"""EVA-X's networks with random weights, and files of them as their authors publish theirs."""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from torch import Tensor, nn

GRID, PATCH_PX, SIDE_PX = 14, 16, 224
MEAN, STD = 0.49185243, 0.28509309
NETWORKS = {
    "tiny": "eva02_tiny_patch14_224",
    "small": "eva02_small_patch14_224",
    "base": "eva02_base_patch14_224",
}
# The authors' names of what timm calls otherwise; of a fused network, and of the base network.
_FUSED = {"mlp.fc1.": "mlp.w12.", "mlp.fc2.": "mlp.w3."}
_APART = {
    "mlp.fc1_g.": "mlp.w1.",
    "mlp.fc1_x.": "mlp.w2.",
    "mlp.fc2.": "mlp.w3.",
    "mlp.norm.": "mlp.ffn_ln.",
    "q_proj.bias": "q_bias",
    "v_proj.bias": "v_bias",
}


def random_network(size: str, *, reference: int = GRID, outputs: int = 14) -> nn.Module:
    """As timm builds it, its answers spread as a trained network's are."""
    torch.manual_seed(1)
    network: nn.Module = timm.create_model(
        NETWORKS[size],
        num_classes=outputs,
        patch_size=PATCH_PX,
        img_size=SIDE_PX,
        ref_feat_shape=(reference, reference),
    )
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.ndim == 1:
                parameter.add_(0.2 * torch.randn_like(parameter))
            elif name == "head.weight":
                parameter.normal_(std=0.2)
    return network.eval()


def save_as_authors(
    network: nn.Module, path: Path, *, reference: int = GRID, pre_trained: bool = False
) -> Path:
    """Write a training checkpoint under the authors' names, positions and all; `path`."""
    state = network.state_dict()
    names = _APART if "blocks.0.attn.q_proj.weight" in state else _FUSED
    saved = {}
    for name, tensor in state.items():
        for ours, theirs in names.items():
            name = name.replace(ours, theirs)
        if not (pre_trained and name.startswith("head.")):
            saved[name] = tensor
    head_dim = int(state["cls_token"].shape[-1]) // _heads(network)
    cosine, sine = _positions(head_dim, reference)
    for owner in ("", *(f"blocks.{block}.attn." for block in range(len(_blocks(network))))):
        saved |= {f"{owner}rope.freqs_cos": cosine, f"{owner}rope.freqs_sin": sine}
    checkpoint = {
        "model": saved,
        "optimizer": {"state": {0: {"step": 3, "exp_avg": torch.zeros(2)}}, "param_groups": []},
        "epoch": 44,
        "scaler": {"scale": 65536.0, "growth_interval": 2000},
        "args": argparse.Namespace(lr=np.float64(1e-3), batch_size=256, output_dir="output"),
    }
    torch.save(checkpoint, path)
    return path


def timm_probabilities(network: nn.Module, grey: list[np.ndarray[Any, Any]]) -> Tensor:
    """What timm's own forward says of grey images [224, 224], [P, outputs]."""
    images = torch.from_numpy(np.stack(grey)).float()[:, None] / 255
    with torch.inference_mode():
        logits: Tensor = network(((images - MEAN) / STD).expand(-1, 3, -1, -1))
    return logits.sigmoid()


def _positions(head_dim: int, reference: int) -> tuple[Tensor, Tensor]:
    """Cosine and sine [196, head_dim] of each patch's angles: those down, then those across."""
    half = head_dim // 2
    frequencies = 1.0 / 10000 ** (np.arange(0, half, 2) / half)
    place = np.arange(GRID) / GRID * reference
    angles = np.repeat(place[:, None] * frequencies, 2, axis=1)
    down, across = np.repeat(angles, GRID, axis=0), np.tile(angles, (GRID, 1))
    both = torch.from_numpy(np.concatenate([down, across], axis=1)).float()
    return both.cos(), both.sin()


def _blocks(network: Any) -> Any:
    return network.blocks


def _heads(network: Any) -> int:
    return int(network.blocks[0].attn.num_heads)
