"""What SentencePiece makes of texts.json with the shared .model files. Writes sentencepiece.json.

  pip install sentencepiece==0.2.1 && python make_sentencepiece.py ../../../../shared/data/tokenizers
"""

import json
import pathlib
import sys

import sentencepiece

MODELS = {
    "mistral-v1": "mistral/tokenizer.model.v1",
    "mistral-v3": "mistral/mistral_instruct_tokenizer_240323.model.v3",
    "unigram": "sentencepiece/test_model.model",
}
EXTRA = [
    "\u2581underscored\u2581\u2581text \u2581 end",
    "ﬁne ① ㍿ Ⅷ ｆｕｌｌ ﾊﾝｶｸ ½ Å e\u0301 ﷺ 豈",
    "a\u00a0b\u2003c\u3000d",
    "   ",
    "",
    "\t\tx\t",
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 \U0001f9d9\u200d\u2642\ufe0f \u0378\ue000",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "supercalifragilisticexpialidocious antidisestablishmentarianism",
]

here = pathlib.Path(__file__).parent
texts = json.loads((here / "texts.json").read_text("utf8")) + EXTRA
models = {}
for name, path in MODELS.items():
    processor = sentencepiece.SentencePieceProcessor(model_file=str(pathlib.Path(sys.argv[1]) / path))
    ids = [processor.encode(text) for text in texts]
    models[name] = {"ids": ids, "decoded": [processor.decode(i) for i in ids]}
made = {"with": f"sentencepiece {sentencepiece.__version__}"}
(here / "sentencepiece.json").write_text(
    json.dumps({"made": made, "extra": EXTRA, "models": models}, ensure_ascii=False, separators=(",", ":")) + "\n", "utf8"
)
