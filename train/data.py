"""The books, the byte-level BPE tokenizer, and their token arrays."""
import gzip
import re
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

END = "<|endoftext|>"
DEFAULT_DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "text"


def read_books(data_dir, part):
    """The text of `books-train` or `books-valid`."""
    with gzip.open(Path(data_dir) / f"books-{part}.txt.gz", "rt", encoding="utf-8", newline="") as f:
        return f.read()


def train_tokenizer(text, vocab):
    """Byte-level BPE from a quarter of the text.

    Digits are left out of the sample, so no merge holds one: every number is written as
    single digits, and a number never seen before is copied digit by digit.
    """
    sample = (re.sub(r"\d+", "", text[i : i + 20_000]) for i in range(0, len(text), 80_000))
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab, special_tokens=[END], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(sample, trainer)
    return tokenizer


def encode(tokenizer, text):
    """Token ids of a long text, as uint16."""
    pieces = [text[i : i + 1_000_000] for i in range(0, len(text), 1_000_000)]
    return np.concatenate([np.array(e.ids, np.uint16) for e in tokenizer.encode_batch(pieces)])


class Corpus:
    """Tokenizer and token arrays of the books."""

    def __init__(self, data_dir, tokenizer):
        self.tokenizer = tokenizer
        self.valid_text = read_books(data_dir, "valid")
        self.valid = encode(tokenizer, self.valid_text)
        self.valid_bytes_per_token = len(self.valid_text.encode()) / len(self.valid)

    @classmethod
    def for_training(cls, data_dir, work_dir, vocab):
        """Also the train part. Tokenizer and train tokens are made once and kept in `work_dir`."""
        work_dir = Path(work_dir)
        work_dir.mkdir(parents=True, exist_ok=True)
        text = read_books(data_dir, "train")
        tokenizer_file, tokens_file = work_dir / f"tokenizer-{vocab}.json", work_dir / f"train-{vocab}.npy"
        if not tokenizer_file.exists():
            train_tokenizer(text, vocab).save(str(tokenizer_file))
        corpus = cls(data_dir, Tokenizer.from_file(str(tokenizer_file)))
        if not tokens_file.exists():
            np.save(tokens_file, encode(corpus.tokenizer, text))
        corpus.train_text, corpus.train = text, np.load(tokens_file)
        return corpus
