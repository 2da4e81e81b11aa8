"""Gradients of the loss of a prompt with respect to keys (before rotation) and values, by PyTorch's autograd.

usage: LLAMA_CPP_LIB=DIR python make_gradients_golden.py
Models, prompts and versions are those of make_arch_golden.py. The loss is the cross-entropy of every token but the first,
summed. Writes NAME.gradients, little-endian f32 [layers, keys and values, len(POSITIONS), KV heads * width], and
gradients.json: the losses.
"""
import json
from pathlib import Path

import numpy as np
import torch
from architectures import MODELS
from gguf_file import adjacent_pairs
from make_arch_golden import build

HERE = Path(__file__).parent
# The last token's keys and values have no successor to foretell, so that their gradient is 0.
POSITIONS = [0, 7, 23, 38]

# What gives keys and values: by kind of model the modules of a layer, the last that exists.
LAYERS = {
    "gpt2": "transformer.h", "gptj": "transformer.h", "falcon": "transformer.h", "mpt": "transformer.blocks",
    "gpt_neox": "gpt_neox.layers",
}
FUSED = {
    "gpt2": "attn.c_attn", "mpt": "attn.Wqkv", "gpt_neox": "attention.query_key_value",
    "falcon": "self_attention.query_key_value", "phi3": "self_attn.qkv_proj",
}


def kept(module, outputs, name):
    """Keeps the gradient of a module's output."""

    def hook(_, __, output):
        output.retain_grad()
        outputs[name] = output

    return module.register_forward_hook(hook)


def key_and_value(kind, config, outputs, layer):
    """Gradients of a layer's keys and values, [tokens, KV heads * width] in the order of the GGUF file."""
    grad = lambda part: outputs[f"{layer} {part}"].grad[0].detach().numpy()
    heads = config.num_attention_heads
    if kind not in FUSED:
        key, value = grad("k"), grad("v")
        if kind == "gemma3":  # its norm comes after heads and tokens have changed places
            key = key.swapaxes(0, 1)
        key = key.reshape(len(value), -1)
        if kind in ("llama", "mistral"):
            key = adjacent_pairs(key.T, config.num_key_value_heads).T
        return key, value
    fused = grad("fused")
    tokens = len(fused)
    if kind == "gpt_neox":
        parts = fused.reshape(tokens, heads, 3, -1)
        return parts[:, :, 1].reshape(tokens, -1), parts[:, :, 2].reshape(tokens, -1)
    if kind == "falcon":
        n_kv = config.num_kv_heads if config.new_decoder_architecture else 1
        parts = fused.reshape(tokens, n_kv, heads // n_kv + 2, -1)
        return parts[:, :, -2].reshape(tokens, -1), parts[:, :, -1].reshape(tokens, -1)
    n_kv = getattr(config, "num_key_value_heads", heads)
    width = fused.shape[1] // (heads + 2 * n_kv)
    q = heads * width
    return fused[:, q : q + n_kv * width], fused[:, q + n_kv * width :]


def gradients(name):
    _, _, config, model, ids, _, _ = build(name)
    kind, outputs, hooks = config.model_type.removesuffix("_text"), {}, []
    layers = model.get_submodule(LAYERS.get(kind, "model.layers"))
    for i, layer in enumerate(layers):
        if kind in FUSED:
            hooks.append(kept(layer.get_submodule(FUSED[kind]), outputs, f"{i} fused"))
            continue
        attention = layer.attn if kind == "gptj" else layer.self_attn
        hooks.append(kept(getattr(attention, "k_norm", attention.k_proj), outputs, f"{i} k"))
        hooks.append(kept(attention.v_proj, outputs, f"{i} v"))
    clamp = torch.Tensor.clamp
    if kind == "mpt" and config.attn_config.clip_qkv:
        # What is stored is what has been held within the limit.
        def clamp_and_keep(tensor, *args, **kwargs):
            result = clamp(tensor, *args, **kwargs)
            result.retain_grad()
            outputs[f"{sum(key.endswith('clamped') for key in outputs)} clamped"] = result
            return result

        torch.Tensor.clamp = clamp_and_keep
    logits = model(torch.tensor([ids]), use_cache=False).logits[0]
    torch.Tensor.clamp = clamp
    loss = torch.nn.functional.cross_entropy(logits[:-1], torch.tensor(ids[1:]), reduction="sum")
    loss.backward()
    if any(key.endswith("clamped") for key in outputs):
        for i in range(len(layers)):
            outputs[f"{i} fused"] = outputs[f"{i} clamped"]
    rows = [part[POSITIONS] for i in range(len(layers)) for part in key_and_value(kind, config, outputs, i)]
    return loss.item(), np.stack(rows).astype("<f4")


losses = {}
for name in MODELS:
    loss, rows = gradients(name)
    losses[name] = round(loss, 6)
    (HERE / f"{name}.gradients").write_bytes(rows.tobytes())
    print(f"{name:20} loss {loss:9.4f}  gradients {rows.shape}  root mean square {np.sqrt((rows**2).mean()):.3g}", flush=True)
(HERE / "gradients.json").write_text(json.dumps({"positions": POSITIONS, "losses": losses}, indent=1) + "\n")
