"""Teach a trained model to get along with anchors: most of a text is forgotten as it goes.

A token whose text holds a separator is an anchor; a segment reaches to the next one. A token sees
its own segment and the anchors before it, so that anchors must carry what the rest of the text
will need (arXiv 2411.06680; mask after arXiv 2402.07616, whose anchors see earlier anchors). One
layer also reads the anchors of an earlier layer.

    python anchor.py ../models/locket-books-q8_0.gguf WORK

The file tells the rule in its metadata: `locket.anchor.separators` (texts), `locket.anchor.sees`
("anchors" or "segment") and `locket.anchor.layers` (per layer the layer whose anchors it reads
too, or itself).
"""
import argparse
import gzip
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

import data
from gguf_io import load_model, save_model
from model import rotate

SEPARATORS = [".", ",", ";", ":", "!", "?", "\n"]
CONTEXT = 1024


def anchor_table(tokenizer):
    """bool[vocab]: whether a token's text holds a separator."""
    texts = [tokenizer.decode([i], skip_special_tokens=False) for i in range(tokenizer.get_vocab_size())]
    return torch.tensor([any(s in text for s in SEPARATORS) for text in texts])


def visible(is_anchor):
    """is_anchor: bool[batch, time]. (own layer's keys, other layer's keys), each bool[batch, time, time]."""
    time_ = is_anchor.shape[1]
    segment = is_anchor.long().cumsum(1) - is_anchor.long()
    causal = torch.ones(time_, time_, dtype=torch.bool).tril()
    same = segment[:, :, None] == segment[:, None, :]
    anchors = is_anchor[:, None, :].expand(-1, time_, -1)
    return causal & (same | anchors), causal.tril(-1) & anchors


def keys_values(block, x, cos, sin):
    """Keys and values [batch, heads, time, head_dim], each for every query head."""
    cfg = block.cfg
    shape = (*x.shape[:2], cfg.kv_heads, cfg.head_dim)
    group = cfg.heads // cfg.kv_heads
    k = rotate(block.k(x).view(shape), cos, sin).to(x.dtype)
    return [t.repeat_interleave(group, dim=2).transpose(1, 2) for t in (k, block.v(x).view(shape))]


def logits(model, ids, anchors, layers, masked=True):
    """Logits of a batch; without `masked` as the model was before."""
    own, other = visible(anchors[ids])
    if not masked:
        own = torch.ones_like(own).tril()
    x = model.emb(ids)
    cos, sin = model.cos[: ids.shape[1]], model.sin[: ids.shape[1]]
    cache = []
    for i, block in enumerate(model.blocks):
        h = block.attn_norm(x)
        k, v = keys_values(block, h, cos, sin)
        cache.append((k, v))
        mask = own
        if masked and layers[i] != i:
            k, v = (torch.cat(pair, 2) for pair in zip((k, v), cache[layers[i]]))
            mask = torch.cat((own, other), 2)
        q = rotate(block.q(h).view(*h.shape[:2], block.cfg.heads, block.cfg.head_dim), cos, sin).to(h.dtype)
        y = F.scaled_dot_product_attention(q.transpose(1, 2), k, v, attn_mask=mask[:, None])
        x = x + block.o(y.transpose(1, 2).flatten(2))
        h = block.ffn_norm(x)
        x = x + block.down(F.silu(block.gate(h)) * block.up(h))
    return model.out(model.norm(x))


def loss_of(model, tokens, anchors, layers, masked=True):
    """Nats per token of tokens[:, 1:]."""
    out = logits(model, tokens[:, :-1], anchors, layers, masked).float()
    return F.cross_entropy(out.flatten(0, 1), tokens[:, 1:].flatten())


def windows(tokens, n, length):
    """n windows of length + 1 tokens, evenly over the text."""
    starts = np.linspace(0, len(tokens) - length - 1, n).astype(int)
    return torch.from_numpy(np.stack([tokens[s : s + length + 1] for s in starts]).astype(np.int64))


@torch.no_grad()
def measure(model, valid, anchors, layers, masked=True):
    """Nats per token of each text."""
    return {name: round(float(np.mean([loss_of(model, w[None], anchors, layers, masked).item() for w in part])), 4)
            for name, part in valid.items()}


def read_code(tokenizer, data_dir):
    """Token ids of the code sample: (train, valid)."""
    with gzip.open(Path(data_dir).parent / "code" / "python-stdlib-sample.txt.gz", "rt", encoding="utf-8") as f:
        text = f.read()
    split = len(text) * 9 // 10
    return data.encode(tokenizer, text[:split]), data.encode(tokenizer, text[split:])


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("base", help="the GGUF file to start from")
    ap.add_argument("work", help="folder of results; token arrays are kept there")
    ap.add_argument("--data", default=str(data.DEFAULT_DATA))
    ap.add_argument("--name", default="locket-anchor")
    ap.add_argument("--steps", type=int, default=150, help="of 8 sequences of 1,024 tokens")
    ap.add_argument("--code-share", type=float, default=0.25)
    ap.add_argument("--lr", type=float, default=8e-4)
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--threads", type=int, default=2)
    ap.add_argument("--control", action="store_true", help="the same training with full attention, to compare with")
    args = ap.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    work = Path(args.work)
    work.mkdir(parents=True, exist_ok=True)

    model, tokenizer = load_model(args.base)
    layers = list(range(model.cfg.layers))
    layers[-1] = model.cfg.layers // 2 - 1
    anchors = anchor_table(tokenizer)
    tokens_file = work / "anchor-train.npy"
    if not tokens_file.exists():
        np.save(tokens_file, data.encode(tokenizer, data.read_books(args.data, "train")))
    prose, (code, code_valid) = np.load(tokens_file), read_code(tokenizer, args.data)
    books_valid = data.encode(tokenizer, data.read_books(args.data, "valid"))
    valid = {"prose": windows(books_valid, 12, CONTEXT), "code": windows(code_valid, 6, CONTEXT)}
    record = {
        "base": Path(args.base).name, "steps": args.steps, "separators": SEPARATORS, "layers": layers,
        "share_of_anchors": {name: round(anchors[part].float().mean().item(), 4) for name, part in valid.items()},
        "full_attention": measure(model, valid, anchors, layers, masked=False),
        "untrained": measure(model, valid, anchors, list(range(model.cfg.layers))),
        "log": [],
    }
    print(json.dumps(record), flush=True)
    model.train()
    decay = [p for p in model.parameters() if p.ndim == 2]
    optimiser = torch.optim.AdamW(
        [{"params": decay, "weight_decay": 0.01}, {"params": [p for p in model.parameters() if p.ndim < 2], "weight_decay": 0}],
        lr=args.lr, betas=(0.9, 0.98))
    began = time.time()
    for step in range(args.steps):
        rng = np.random.default_rng([args.seed, step])
        rows = []
        for _ in range(8):
            source = code if rng.random() < args.code_share else prose
            start = int(rng.integers(0, len(source) - CONTEXT - 1))
            rows.append(source[start : start + CONTEXT + 1].astype(np.int64))
        for group in optimiser.param_groups:
            group["lr"] = args.lr * min((step + 1) / 10, 0.5 + 0.5 * math.cos(math.pi * step / args.steps))
        loss = loss_of(model, torch.from_numpy(np.stack(rows)), anchors, layers, masked=not args.control)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        if (step + 1) % 25 == 0 or step + 1 == args.steps:
            model.eval()
            entry = {"step": step + 1, "train_loss": round(loss.item(), 4), **measure(model, valid, anchors, layers, masked=not args.control)}
            model.train()
            record["log"].append(entry)
            print(json.dumps(entry), f"{(time.time() - began) / (step + 1):.1f} s/step", flush=True)
            (work / f"{args.name}.json").write_text(json.dumps(record, indent=1) + "\n")
    model.eval()
    rule = {"locket.anchor.separators": SEPARATORS, "locket.anchor.sees": "anchors", "locket.anchor.layers": layers}
    extra = {} if args.control else rule
    for kind in ("f32", "q8_0"):
        save_model(work / f"{args.name}-{kind}.gguf", model, tokenizer, args.name, kind, extra)


if __name__ == "__main__":
    main()
