"""Text embeddings of the small random models: the mean of transformers' `last_hidden_state`, at length 1.

usage: LLAMA_CPP_LIB=DIR python make_embeddings_golden.py
Models, prompts and versions are those of make_arch_golden.py. Writes embeddings.json: a list of f64 a model.
"""
import json
from pathlib import Path

import torch
from architectures import MODELS
from make_arch_golden import build

embeddings = {}
for name in MODELS:
    _, _, _, model, ids, _, _ = build(name)
    with torch.no_grad():
        hidden = model.base_model(torch.tensor([ids]), use_cache=False).last_hidden_state[0].double()
    mean = hidden.mean(0)
    embeddings[name] = [round(x, 9) for x in (mean / mean.norm()).tolist()]
text = ",\n".join(f"{json.dumps(name)}: {json.dumps(values)}" for name, values in embeddings.items())
(Path(__file__).parent / "embeddings.json").write_text("{\n" + text + "\n}\n")
