"""Training sequences: plain text, and tasks that can only be solved by looking back.

Every sequence is a pair (tokens, weights) of one length; the weight of a token multiplies
its loss. Four tasks are mixed into the text:

* period:  random tokens, or a short passage, repeated over and over;
* again:   a passage that comes a second time after other text;
* facts:   statements about made-up keys, other text, then questions about them;
* drill:   statements, then question after question about them with no other text.
"""
import re
from dataclasses import dataclass

import numpy as np

TRAIN_NAMES = """Alice Henry Margaret Thomas Eleanor William Harriet George Clara Arthur Beatrice Frederick
Louisa Walter Amelia Robert Sophia Charles Emma James Rose Samuel Lucy Oliver Grace Philip Helen Hugh Agnes
John Mary Elizabeth Anne Peter Paul Martha Ruth David Daniel Simon Stephen Catherine Caroline Charlotte Kate
Laura Isabel Flora Nora Ralph Roger Gilbert Herbert Albert Ernest Francis Frank Jack Harry Tom Dick Ned Ben
Joseph Joshua Jacob Isaac Adam Matthew Mark Luke Andrew Patrick Duncan Donald Malcolm Kenneth Marian Rachel
Rebecca Sarah Susan Jane Janet Julia Judith Lydia Matilda Mabel Maud Millicent Miriam Phoebe Rosamond""".split()
TEST_NAMES = "Edward Richard Edmund Alfred Dorothy Florence Edith Victor Leonard Cecilia Barbara Martin".split()

TRAIN_THINGS = """number house garden horse ship letter room street carriage farm age ticket table chair book
page price weight height box key door window bell ring coat hat watch lamp seat train bag code sign mark card
town village river island field county school church shop trade master teacher servant dog cat colour song
secret word answer name prize debt wage share pass gate bed desk clock boat line order""".split()
TEST_THINGS = ["number", "house", "cabin", "sword", "lantern"]

# {t} the thing, {n} the name, {v} the value. A question ends where the value begins.
STATEMENTS = [
    "The {t} of {n} is {v}.", "{n}'s {t} is {v}.", "The {t} of {n} was {v}.", "{n} has the {t} {v}.",
    "For {n} the {t} is {v}.", "Remember that the {t} of {n} is {v}.", "{n} said that the {t} was {v}.",
    "{n}: {t} {v}.", "{v} is the {t} of {n}.", "Note: the {t} for {n} is {v}.", "They gave {n} the {t} {v}.",
]
QUESTIONS = [
    "What is the {t} of {n}? It is", "The {t} of {n} is", "{n}'s {t} is", "What was {n}'s {t}? It was",
    "Q: {t} of {n}? A:", "Tell me the {t} of {n}:", "And the {t} of {n}, as was said, is",
    "What is {n}'s {t}? The answer is", "\"What is the {t} of {n}?\" \"It is",
]
SYLLABLES = """ba be bo ca co da de do el fa fen gar ger hal ham har ka ken la len lo lor ma mar mel mi mor na
nel no nor o pa per ra ran ri ro sa sel ser sto ta tal tan ter to tor va van ver vi wel win wor yo za zen""".split()


@dataclass
class Mix:
    """Shares of the tasks in the sequences; the rest is plain text."""

    period: float
    again: float
    facts: float
    drill: float = 0.0


class TaskSource:
    """Makes sequences from a token array. All randomness comes from the generator passed in."""

    def __init__(self, corpus, part="train"):
        self.tokenizer = corpus.tokenizer
        self.vocab = corpus.tokenizer.get_vocab_size()
        self.tokens = corpus.train if part == "train" else corpus.valid
        text = corpus.train_text if part == "train" else corpus.valid_text
        self.words = sorted(set(re.findall(r"\b[a-z]{3,10}\b", text[:2_000_000])))
        self.names = TRAIN_NAMES if part == "train" else TEST_NAMES
        self.things = TRAIN_THINGS if part == "train" else TEST_THINGS

    def slice(self, rng, n):
        """n tokens of running text."""
        i = int(rng.integers(0, len(self.tokens) - n))
        return self.tokens[i : i + n].astype(np.int64)

    def ids(self, text):
        return self.tokenizer.encode(text).ids

    # --- the tasks -------------------------------------------------------------------

    def text(self, rng, n):
        return self.slice(rng, n), np.ones(n, np.float32)

    def period(self, rng, n):
        """A pattern repeated to the end. Half of the patterns are uniformly random tokens."""
        p = int(rng.integers(4, max(5, n // 2)))
        kind = rng.random()
        if kind < 0.5:
            pattern = rng.integers(1, self.vocab, p)
        elif kind < 0.75:
            pattern = rng.permutation(self.slice(rng, p))
        else:
            pattern = self.slice(rng, p)
        tokens = np.tile(pattern, n // p + 1)[:n]
        weights = np.ones(n, np.float32)
        if kind < 0.75:
            weights[:p] = 0.05  # nothing to learn in the first pass over shuffled tokens
        return tokens, weights

    def again(self, rng, n):
        """Other text, a passage, other text, the passage again, other text."""
        k = int(rng.integers(16, max(17, min(160, n // 3))))
        gap = int(rng.integers(0, n - 2 * k + 1))
        before = int(rng.integers(0, n - 2 * k - gap + 1))
        passage = self.slice(rng, k)
        rest = self.slice(rng, n - 2 * k + 1)
        tokens = np.concatenate([rest[:before], passage, rest[before : before + gap], passage, rest[before + gap :]])[:n]
        return tokens, np.ones(n, np.float32)

    # --- facts -------------------------------------------------------------------------

    def made_up_name(self, rng):
        parts = rng.choice(SYLLABLES, int(rng.integers(2, 4)))
        return "".join(parts).capitalize()

    def name(self, rng):
        return str(rng.choice(self.names)) if rng.random() < 0.6 else self.made_up_name(rng)

    def value(self, rng):
        r = rng.random()
        if r < 0.6:
            return str(int(rng.integers(10, 10 ** int(rng.integers(2, 6)))))
        word = str(rng.choice(self.words))
        if r < 0.8:
            return word
        return word.capitalize() if r < 0.9 else self.made_up_name(rng)

    def thing(self, rng):
        return str(rng.choice(self.things)) if rng.random() < 0.75 else str(rng.choice(self.words))

    def fact_list(self, rng, count):
        """`count` facts (thing, name, value); no question has two answers."""
        facts, seen = [], set()
        one_thing = self.thing(rng) if rng.random() < 0.5 else None
        while len(facts) < count:
            thing, name = one_thing or self.thing(rng), self.name(rng)
            if (thing, name) not in seen:
                seen.add((thing, name))
                facts.append((thing, name, self.value(rng)))
        return facts

    def ask(self, rng, fact, question=None):
        """Token ids of a question with its answer, and weights that stress the answer."""
        thing, name, value = fact
        form = question or str(rng.choice(QUESTIONS if rng.random() < 0.6 else QUESTIONS[:1]))
        head = self.ids(form.format(t=thing, n=name))
        answer = self.ids(" " + value)
        tail = self.ids('."\n' if '"It' in form else ".\n")
        weights = [0.3] * len(head) + [4.0] * len(answer) + [1.0] * len(tail)
        return head + answer + tail, weights

    def state(self, rng, facts):
        """Token ids of the statements, one form for all or a mixture."""
        one = rng.random() < 0.6
        form = str(rng.choice(STATEMENTS)) if rng.random() < 0.6 else STATEMENTS[0]
        end = "\n" if rng.random() < 0.6 else " "
        lines = [(form if one else str(rng.choice(STATEMENTS))).format(t=t, n=n, v=v) for t, n, v in facts]
        return self.ids(end.join(lines) + "\n")

    def facts(self, rng, n):
        """Text, facts, text, questions. The questions close the sequence."""
        most = max(2, min(16, n // 50))
        facts = self.fact_list(rng, int(rng.integers(1, most + 1)))
        lead = self.state(rng, facts)[: n // 2]
        tail, tail_weights = self.ids("\n"), [1.0]
        for _ in range(int(rng.integers(1, most + 1))):
            ids, weights = self.ask(rng, facts[int(rng.integers(len(facts)))])
            tail, tail_weights = tail + ids, tail_weights + weights
        tail, tail_weights = tail[: n // 2], tail_weights[: n // 2]
        room = n - len(lead) - len(tail)
        gap = int(room * rng.random() ** 0.5)  # long gaps more often than short ones
        rest = self.slice(rng, room + 1)
        tokens = np.concatenate([rest[: room - gap], lead, rest[room - gap : room], tail])
        weights = np.concatenate([np.ones(room - gap), np.full(len(lead), 0.3), np.ones(gap), tail_weights])
        return tokens.astype(np.int64), weights.astype(np.float32)

    def drill(self, rng, n):
        """A few facts, then questions about them to the end: many answers in one sequence."""
        facts = self.fact_list(rng, int(rng.integers(2, 13)))
        tokens = self.state(rng, facts)
        weights = [0.3] * len(tokens)
        while len(tokens) < n:
            ids, w = self.ask(rng, facts[int(rng.integers(len(facts)))])
            tokens, weights = tokens + ids, weights + w
        return np.array(tokens[:n], np.int64), np.array(weights[:n], np.float32)

    def batch(self, rng, rows, n, mix):
        """[rows, n] tokens and weights, and the kind of each row."""
        tasks = {"period": mix.period, "again": mix.again, "facts": mix.facts}
        tasks["text"] = 1 - sum(tasks.values()) - mix.drill
        tasks["drill"] = mix.drill
        kinds = rng.choice(list(tasks), rows, p=list(tasks.values()))
        made = [getattr(self, kind)(rng, n) for kind in kinds]
        return np.stack([t for t, _ in made]), np.stack([w for _, w in made]), kinds
