"""Train the bundled model of Locket and write it as GGUF.

The learning rate, the length of the sequences and the shares of the tasks follow the step
count, never the clock, and the batch of a step depends only on the seed and the step: a run
that was stopped and resumed gives what an unbroken run gives (up to rounding).
"""
import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch

import data
import evaluate
from model import Model, ModelConfig
from optim import Optimiser, schedule
from structured import build_in_copying
from tasks import Mix, TaskSource

TOKENS_PER_STEP = 8192
STEPS = 1750
# (step at which it ends, length of the sequences, mix)
PHASES = [
    (300, 256, Mix(period=0.25, again=0.20, facts=0.20)),
    (1000, 256, Mix(period=0.05, again=0.12, facts=0.15)),
    (1150, 512, Mix(period=0.02, again=0.12, facts=0.12, drill=0.10)),
    (None, 1024, Mix(period=0.01, again=0.12, facts=0.12, drill=0.08)),
]


def phase_of(step):
    """(sequence length, mix) of a step."""
    for end, length, mix in PHASES:
        if end is None or step < end:
            return length, mix


def make_batch(source, seed, step, length, mix):
    rng = np.random.default_rng([seed, step])
    tokens, weights, kinds = source.batch(rng, TOKENS_PER_STEP // length, length + 1, mix)
    tokens, weights = torch.from_numpy(tokens), torch.from_numpy(weights)
    return tokens[:, :-1], tokens[:, 1:].contiguous(), weights[:, 1:].contiguous(), kinds


def save_checkpoint(path, model, optimiser, step, log):
    state = {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "step": step, "log": log}
    torch.save(state, path.with_suffix(".tmp"))
    path.with_suffix(".tmp").replace(path)


def load_checkpoint(path, model, optimiser):
    state = torch.load(path, weights_only=True)
    model.load_state_dict(state["model"])
    optimiser.load_state_dict(state["optimiser"])
    return state["step"], state["log"]


def measure(model, corpus, length):
    """A quick look: a small part of each measure, at the sequence length of the phase."""
    model.eval()
    first, second = evaluate.second_occurrence(model, corpus, 16, min(128, length // 4), length)
    result = {
        "valid_bits_per_byte": round(evaluate.bits_per_byte(model, corpus, 10240 // length, length), 4),
        "first": round(first, 3),
        "second": round(second, 3),
        "recall_2_facts": evaluate.fact_recall(model, corpus, 16, 2, min(500, length // 2)),
    }
    model.train()
    return result


class Trainer:
    def __init__(self, args):
        self.args = args
        self.work = Path(args.work)
        torch.manual_seed(args.seed)
        torch.set_num_threads(args.threads)
        self.corpus = data.Corpus.for_training(args.data, args.work, args.vocab)
        self.source = TaskSource(self.corpus)
        self.model = Model(model_config(args))
        if not args.plain_start:
            counts = np.bincount(self.corpus.train, minlength=args.vocab)
            build_in_copying(self.model, torch.from_numpy(counts), args.seed)
        self.optimiser = Optimiser(self.model, args.ffn_lr, args.attention_lr, args.other_lr)
        self.step, self.log = 0, []
        self.checkpoint = self.work / f"{args.name}.ckpt"
        if self.checkpoint.exists():
            self.step, self.log = load_checkpoint(self.checkpoint, self.model, self.optimiser)
            print(f"resumed at step {self.step}", flush=True)
        self.loss = self._loss if args.no_compile else torch.compile(self._loss, dynamic=False)

    def _loss(self, ids, targets, weights):
        losses = self.model.token_losses(ids, targets)
        return (losses * weights).sum() / weights.sum(), losses

    def run_step(self):
        length, mix = phase_of(self.step)
        ids, targets, weights, kinds = make_batch(self.source, self.args.seed, self.step, length, mix)
        loss, losses = self.loss(ids, targets, weights)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step(schedule(self.step))
        self.model.zero_grad(set_to_none=True)
        self.step += 1
        text = losses.detach()[torch.from_numpy(kinds == "text")]
        return text.mean().item() if len(text) else float("nan")

    def train(self):
        recent, began, first_step = [], time.time(), self.step
        while self.step < self.args.steps:
            recent.append(self.run_step())
            if self.step % self.args.log_every == 0 or self.step == self.args.steps:
                length, _ = phase_of(self.step - 1)
                entry = {"step": self.step, "tokens": self.step * TOKENS_PER_STEP, "length": length,
                         "train_text_loss": round(float(np.nanmean(recent)), 4),
                         **measure(self.model, self.corpus, length)}
                self.log.append(entry)
                speed = (self.step - first_step) * TOKENS_PER_STEP / (time.time() - began)
                print(json.dumps(entry), f"{speed:.0f} tokens/s", flush=True)
                recent = []
                save_checkpoint(self.checkpoint, self.model, self.optimiser, self.step, self.log)

    def finish(self):
        """Write the GGUF files and the record."""
        from gguf_io import save_model

        self.model.eval()
        for kind in ("f32", "q8_0"):
            save_model(self.work / f"{self.args.name}-{kind}.gguf", self.model, self.corpus.tokenizer, self.args.name, kind)
        record = {"config": self.model.cfg.to_dict(),
                  "parameters": sum(p.numel() for p in self.model.parameters()),
                  "seed": self.args.seed, "steps": self.step, "tokens": self.step * TOKENS_PER_STEP, "log": self.log}
        (self.work / f"{self.args.name}.json").write_text(json.dumps(record, indent=1) + "\n")


def model_config(args):
    return ModelConfig(vocab=args.vocab, dim=args.dim, layers=args.layers, heads=args.heads,
                       kv_heads=args.kv_heads, head_dim=args.head_dim, ffn=args.ffn)


def parse_args():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    ap.add_argument("work", help="folder for the tokenizer, checkpoints and results; an old checkpoint there is resumed")
    ap.add_argument("--name", default="locket-books")
    ap.add_argument("--data", default=str(data.DEFAULT_DATA), help="folder with books-train.txt.gz and books-valid.txt.gz")
    ap.add_argument("--steps", type=int, default=STEPS, help=f"steps of {TOKENS_PER_STEP} tokens")
    sizes = dict(vocab=2048, dim=256, layers=4, heads=4, kv_heads=2, head_dim=64, ffn=512)
    for name, size in sizes.items():
        ap.add_argument("--" + name.replace("_", "-"), type=int, default=size)
    ap.add_argument("--ffn-lr", type=float, default=0.02, help="Muon, feed-forward matrices")
    ap.add_argument("--attention-lr", type=float, default=0.006, help="Muon, attention matrices")
    ap.add_argument("--other-lr", type=float, default=4e-3, help="Adam, embedding and norms")
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--threads", type=int, default=2)
    ap.add_argument("--log-every", type=int, default=50)
    ap.add_argument("--plain-start", action="store_true", help="do not build the copying heads in")
    ap.add_argument("--no-compile", action="store_true", help="run without torch.compile")
    return ap.parse_args()


def main():
    trainer = Trainer(parse_args())
    trainer.train()
    trainer.finish()


if __name__ == "__main__":
    main()
