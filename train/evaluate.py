"""The three measures of the model card, from a GGUF file or from a model in memory.

All of them use books-valid only; names of the facts are not those of the training.
"""
import argparse
import json
import math

import numpy as np
import torch

import data
from tasks import QUESTIONS, STATEMENTS, TaskSource


def _losses(model, rows):
    rows = torch.from_numpy(rows.astype(np.int64))
    return model.token_losses(rows[:, :-1], rows[:, 1:])


@torch.no_grad()
def bits_per_byte(model, corpus, windows=None, length=None):
    """Loss on books-valid in bits per byte.

    Windows of `length` targets stand side by side over the whole text; each starts with an
    empty context. `windows` takes that many of them, evenly spread.
    """
    length = length or model.cfg.context
    starts = np.arange(0, len(corpus.valid) - length - 1, length)
    if windows:
        starts = starts[np.linspace(0, len(starts) - 1, windows).astype(int)]
    total = 0.0
    for i in range(0, len(starts), 8):
        rows = np.stack([corpus.valid[s : s + length + 1] for s in starts[i : i + 8]])
        total += _losses(model, rows).sum().item()
    return total / (len(starts) * length) / math.log(2) / corpus.valid_bytes_per_token


@torch.no_grad()
def second_occurrence(model, corpus, cases=64, passage=128, length=None, seed=1000):
    """Nats per token on a passage the first and the second time in one window.

    The passage opens and closes the window; other valid text stands between.
    """
    length = length or model.cfg.context
    rng = np.random.default_rng(seed)
    source = TaskSource(corpus, "valid")
    first, second = [], []
    for start in range(0, cases, 8):
        rows = []
        for _ in range(min(8, cases - start)):
            p = source.slice(rng, passage)
            rows.append(np.concatenate([p, source.slice(rng, length - 2 * passage), p]))
        loss = _losses(model, np.stack(rows))
        first.append(loss[:, : passage - 1].mean().item())
        second.append(loss[:, -(passage - 1) :].mean().item())
    return float(np.mean(first)), float(np.mean(second))


def _fact_case(source, rng, count, distance, plain):
    """Tokens up to the end of a question, and the tokens that must follow."""
    facts = [(t, n, v) for t, n, v in source.fact_list(rng, count)]
    if plain:  # numbers only: "The number of Edward is 4821."
        facts = [(t, n, str(int(rng.integers(1000, 10000)))) for t, n, _ in facts]
    statement = STATEMENTS[0] if plain else str(rng.choice(STATEMENTS))
    question = QUESTIONS[0] if plain else str(rng.choice(QUESTIONS))
    thing, name, value = facts[int(rng.integers(count))]
    lead = source.ids("\n".join(statement.format(t=t, n=n, v=v) for t, n, v in facts) + "\n")
    ask = source.ids("\n" + question.format(t=thing, n=name))
    tokens = np.concatenate([lead, source.slice(rng, distance), ask])
    return tokens, source.ids(" " + value + ".")


@torch.no_grad()
def greedy_gives(model, tokens, answer):
    """Does greedy decoding after `tokens` give exactly `answer`?

    One pass over both is enough: decoding follows the answer as long as each of its tokens is
    the most likely one after those before it.
    """
    ids = torch.from_numpy(np.concatenate([tokens, answer[:-1]]).astype(np.int64))[None]
    best = model(ids)[0, -len(answer) :].argmax(-1)
    return best.tolist() == answer


def fact_recall(model, corpus, cases=100, facts=1, distance=500, plain=True, seed=2000):
    """Share of cases in which greedy decoding gives the value and the full stop exactly."""
    rng = np.random.default_rng(seed)
    source = TaskSource(corpus, "valid")
    right = 0
    for _ in range(cases):
        tokens, answer = _fact_case(source, rng, facts, distance, plain)
        right += greedy_gives(model, tokens, answer)
    return right / cases


def full_report(model, corpus, cases=200):
    first, second = second_occurrence(model, corpus, cases=128)
    return {
        "valid_bits_per_byte": round(bits_per_byte(model, corpus), 4),
        "passage_loss_first": round(first, 4),
        "passage_loss_second": round(second, 4),
        "passage_second_over_first": round(second / first, 4),
        "fact_recall_1_fact_500_tokens": fact_recall(model, corpus, cases, 1),
        "fact_recall_8_facts_500_tokens": fact_recall(model, corpus, cases, 8),
        "fact_recall_8_facts_700_tokens": fact_recall(model, corpus, cases // 2, 8, 700),
        "fact_recall_4_facts_mixed_forms_500_tokens": fact_recall(model, corpus, cases // 2, 4, plain=False),
    }


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("gguf", help="model file, F32 or Q8_0; it is dequantised and run in float32")
    ap.add_argument("--data", default=str(data.DEFAULT_DATA), help="folder with books-valid.txt.gz")
    ap.add_argument("--cases", type=int, default=200, help="cases of each fact measure")
    ap.add_argument("--threads", type=int, default=2)
    args = ap.parse_args()
    torch.set_num_threads(args.threads)
    from gguf_io import load_model

    model, tokenizer = load_model(args.gguf)
    corpus = data.Corpus(args.data, tokenizer)
    print(json.dumps(full_report(model.eval(), corpus, args.cases), indent=1))


if __name__ == "__main__":
    main()
