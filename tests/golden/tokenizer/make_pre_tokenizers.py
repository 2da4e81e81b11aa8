"""How Hugging Face's tokenizers cuts texts with the expressions of the models' own tokenizer.json.

Writes pre_tokenizers.json: per pre-tokenizer and text the lengths of the pieces in code points.

  pip install tokenizers==0.23.3 && python make_pre_tokenizers.py
"""

import json
import pathlib
import random

import tokenizers
from tokenizers import Regex
from tokenizers.pre_tokenizers import Digits, Punctuation, Sequence, Split

CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
UPPER = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"


def cut(*expressions):
    return [Split(Regex(e), "isolated") for e in expressions]


PRE_TOKENIZERS = {
    "gpt-2": cut(GPT2),
    "smollm": [Digits(individual_digits=True), *cut(GPT2)],
    "falcon": [Punctuation("contiguous"), *cut(GPT2, "[0-9][0-9][0-9]")],
    "llama-bpe": cut(
        CONTRACTIONS
        + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
    "qwen2": cut(
        CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
    "qwen35": cut(
        CONTRACTIONS
        + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
    "tekken": cut(
        rf"{UPPER}*{LOWER}+|{UPPER}+{LOWER}*|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
    "gpt-4o": cut(
        rf"{UPPER}*{LOWER}+{CONTRACTIONS}?|{UPPER}+{LOWER}*{CONTRACTIONS}?|\p{{N}}{{1,3}}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
    "deepseek-v3": cut(
        r"\p{N}{1,3}",
        r"[一-龥぀-ゟ゠-ヿ]+",
        r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
        r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    ),
}

here = pathlib.Path(__file__).parent
texts = json.loads((here / "texts.json").read_text("utf8"))
generator = random.Random(1)
alphabet = list("abcXYZ'stREvemMlLd  \n\r\t.,!?/-012345$+`~^|<>=_\"") + list(
    "éßÄΩ\u0301中文ひカ한ʰªǅ½²٣\u00a0\u2003\u3000\u0085\ufeff\u200b\u0903…€😀\u2028ⅷ"
)
random_texts = ["".join(generator.choices(alphabet, k=generator.randint(1, 24))) for _ in range(150)]
pieces = {}
for name, steps in PRE_TOKENIZERS.items():
    splitter = Sequence(steps)
    pieces[name] = [[len(piece) for piece, _ in splitter.pre_tokenize_str(t)] for t in texts + random_texts]
made = {"with": f"tokenizers {tokenizers.__version__}"}
(here / "pre_tokenizers.json").write_text(
    json.dumps({"made": made, "random": random_texts, "pieces": pieces}, separators=(",", ":")) + "\n", "utf8"
)
