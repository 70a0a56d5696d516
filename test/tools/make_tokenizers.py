#!/usr/bin/env python3
"""make_tokenizers.py [FOLDER]: the little tokenizers of test/models/tokenizers, with what the
`tokenizers` library makes of some texts (needs that package; written with 0.23.3).

Each one exercises components that the models of today mix in other ways: flags of added tokens, normal
forms, expressions, Metaspace, bytes as a normalizer. FOLDER/NAME.json is the tokenizer, FOLDER/NAME.jsonl
holds lines {"text", "ids", "decoded"} (special tokens added, then left out) and
{"ids", "decoded", "decoded_with_special"} for random ids.
"""
import json
import pathlib
import random
import sys
import unicodedata

from tokenizers import Tokenizer

FOLDER = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "test/models/tokenizers")
RANDOM_TEXTS, RANDOM_IDS = 24, 12


def byte_characters():
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in printable]
    return {b: chr(b) for b in printable} | {b: chr(256 + i) for i, b in enumerate(rest)}


SPELL = byte_characters()
BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}


def spelled(text):
    return "".join(SPELL[byte] for byte in text.encode())


def byte_level(pairs, **more):
    vocab = {SPELL[byte]: byte for byte in range(256)}
    for left, right in pairs:
        vocab.setdefault(spelled(left + right), len(vocab))
    merges = [[spelled(left), spelled(right)] for left, right in pairs]
    return {"type": "BPE", "vocab": vocab, "merges": merges, **more}


def added(content, flags=""):
    names = {"w": "single_word", "l": "lstrip", "r": "rstrip", "n": "normalized", "s": "special"}
    return {"id": 0, "content": content, **{name: letter in flags for letter, name in names.items()}}


def split(regex, behavior="Isolated", invert=False):
    return {"type": "Split", "pattern": {"Regex": regex}, "behavior": behavior, "invert": invert}


def sequence(name, *items):
    return {"type": "Sequence", name: list(items)}


def template(*pieces):
    tokens = {p: {"id": p, "ids": [i], "tokens": [p]} for p, i in pieces if p}
    single = [{"SpecialToken": {"id": p, "type_id": 0}} if p else {"Sequence": {"id": "A", "type_id": 0}} for p, _ in pieces]
    pair = single + [{"Sequence": {"id": "B", "type_id": 1}}]
    return {"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": tokens}


PAIRS = [(" ", "t"), ("h", "e"), (" t", "he"), ("a", "n"), ("i", "n"), ("1", "2"), (" ", " "), ("  ", "  "), ("l", "l"),
         ("o", "n"), ("'", "s"), ("\n", "\n"), ("3", "4"), ("12", "34"), ("A", "B"), ("a", "b"), (".", "."), ("=", "=")]
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
O200K = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
         r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
         r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
CHARACTERS = ["<unk>", "<s>", "\u2581", *"abcdehilnorst.,!\u00e9\u65e5", "\u2581the", "\u2581a", "he", "in", "an"]
MERGES = [["h", "e"], ["\u2581", "a"], ["i", "n"], ["a", "n"]]


def character_level(**more):
    return {"type": "BPE", "vocab": {token: i for i, token in enumerate(CHARACTERS)} | more.pop("more", {}),
            "merges": MERGES, "unk_token": "<unk>", **more}


METASPACE = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first", "split": True}
TOKENIZERS = {
    "added-flags": {
        "normalizer": sequence("normalizers", {"type": "NFD"}, {"type": "StripAccents"}, {"type": "Lowercase"}),
        "pre_tokenizer": sequence("pretokenizers", {"type": "Digits", "individual_digits": False}, {**BYTES, "use_regex": True}),
        "model": byte_level(PAIRS),
        "post_processor": template((None, 0), ("<|end|>", 272)),
        "added_tokens": [added("<|end|>", "s"), added("[MASK]", "sl"), added("<r>", "sr"), added("the", "w"), added("\u00c9t\u00e9", "n"),
                         added("<both>", "slr"), added("Word", "nw"), added("<|", ""), added("  ", ""), added("\n", "lr")]},
    "compatible-forms": {
        "normalizer": {"type": "NFKC"},
        "pre_tokenizer": sequence("pretokenizers", split(O200K), BYTES),
        "model": byte_level(PAIRS, ignore_merges=True),
        "added_tokens": [added("<|end|>", "s"), added("\ufb01n", "n")]},
    "decomposed": {
        "normalizer": {"type": "NFD"},
        "pre_tokenizer": sequence(
            "pretokenizers", split(r"[\r\n]"), split(r"\s?\p{L}+"), split(r"\s?\p{P}+", "MergedWithNext"), split(r"\s+$"),
            split(r"[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+", "Contiguous"), {"type": "Digits", "individual_digits": True}, BYTES,
            split("[0-9][0-9][0-9]")),
        "model": byte_level(PAIRS),
        "added_tokens": []},
    "metaspace": {
        "normalizer": None,
        "pre_tokenizer": METASPACE,
        "model": character_level(fuse_unk=False),
        "decoder": METASPACE,
        "post_processor": template(("<s>", 1), (None, 0)),
        "added_tokens": [added("<s>", "s"), added("<unk>", "s"), added("<x>", "r")]},
    "byte-fallback": {
        "normalizer": sequence("normalizers", {"type": "Strip", "strip_left": False, "strip_right": True},
                               {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "},
                               {"type": "Prepend", "prepend": "\u2581"},
                               {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}),
        "pre_tokenizer": None,
        "model": character_level(byte_fallback=True, fuse_unk=True,
                                 more={f"<0x{b:02X}>": 40 + b for b in range(256) if b != 0xff}),
        "decoder": sequence("decoders", {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "},
                            {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}),
        "added_tokens": [added("<s>", "s"), added("<unk>", "s"), added("a b", "n")]},
    "bare-words": {
        "normalizer": sequence("normalizers", {"type": "Nmt"}, {"type": "NFKD"}),
        "pre_tokenizer": sequence(
            "pretokenizers", split(r"(?<!\S)\d+|(?<=a)b+?|\b(?i:he)\b|[[:punct:]&&[^.]]++|(?>\w{2,3})", "MergedWithPrevious", True),
            {"type": "Punctuation", "behavior": "Removed"}, {"type": "WhitespaceSplit"}, {**BYTES, "add_prefix_space": True}),
        "model": byte_level(PAIRS),
        "decoder": None,
        "post_processor": {"type": "BertProcessing", "sep": ["]", 93], "cls": ["[", 91]},
        "added_tokens": []},
    "early-bytes": {
        "normalizer": {"type": "ByteLevel"},
        "pre_tokenizer": split(r"\u0120?[\p{L}\u00a1-\u0142]+|[^\p{L}]", "Contiguous"),
        "model": byte_level(PAIRS),
        "added_tokens": [added("\u00e9a", "nw"), added("<|end|>", "s"), added("\u65e5", "n")]},
}

TEXTS = ["", " ", "the the  the   the", "Hello, the world!  1234 12 345", "it's IT'S we'Re I'LL 's \u017f'\u017f", "a\r\n\r\n b\n \n\nc \t\n",
         "e\u0301 \u00e9 E\u0301t\u00e9 \u00c9t\u00e9 \u00e9te\u0301!", "o\u0302\u0323 o\u0323\u0302 \u1ed9 a\u0315\u0300\u05ae\u0301b",
         "\uac01\u1100\u1161\u11a8 \u1100\u1161 \uac00\u11a8\u11a8 \u1161\u11a8", "\ufb01n \ufdfa \u00bd \u2167 \u210c \uff21\uff22 \u3392",
         "<|end|> x<|end|>y <|end| <|", "a [MASK] b[MASK]  <r>   c <both>  d \n <both>\n", "the, other the thethe _the the_ \u00e9the the",
         "Word word WORD sword word\u00e9 \u00b2word", "\u65e5\u672c\u8a9e \u65e5the\u65e5 \uac00\ub098\ub2e4 \u4e00\u4e8c", "\U0001f600\U0001f468\u200d\U0001f469 \u2764\ufe0f",
         "\0a\0\0 \ufffd \ufeff \x7f\x85\xa0\u3000\u2028x", "\u0130I\u0131i \u1e9e\u00df \u03a3\u03c2 \u212a\u212b \u01c5",
         "    four spaces\n\n\n\n  \u2581x \u2581 \u2581\u2581the", "a b a  b ab abbb he He the HE", "..===..,,;; (x) [y] {z}", "<s>a<x>  b<unk>c<s>",
         "3.14159 \u0661\u0662\u0663 \u00b2\u00b3 1,000,000 12345678", "a\u0301\u0302\u0303\u0304\u0305\u0306\u0307\u0308\u0309\u030a\u030b\u030c\u0323\u0324\u0325\u0326\u0327\u0328 x"]


def random_text(rnd, words):
    stable = [chr(c) for c in range(0x80, 0x30000)
              if unicodedata.ucd_3_2_0.category(chr(c)) == unicodedata.category(chr(c)) not in ("Cn", "Cs", "Co")]
    kinds = [lambda: rnd.choice(words), lambda: rnd.choice(["the", "an", "in", "he", "AB", "12", "34"]), lambda: " " * rnd.randrange(1, 4),
             lambda: rnd.choice("abcXYZ019.,;!\n\t'-_/"), lambda: rnd.choice(stable), lambda: chr(rnd.randrange(0x300, 0x345)),
             lambda: rnd.choice("\u1100\u1161\u11a8\uac00\uac01"), lambda: rnd.choice(stable) + chr(rnd.randrange(0x300, 0x330))]
    return "".join(rnd.choice(kinds)() for _ in range(rnd.randrange(1, 14)))


def main():
    for name, parts in TOKENIZERS.items():
        rnd = random.Random(name)
        whole = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None, "pre_tokenizer": None,
                 "post_processor": None, "decoder": BYTES, **parts}
        text = json.dumps(whole)
        tokenizer = Tokenizer.from_str(text)
        (FOLDER / f"{name}.json").write_text(text + "\n")
        words = [token["content"] for token in whole["added_tokens"]] or ["the"]
        lines = []
        for sample in TEXTS + [random_text(rnd, words) for _ in range(RANDOM_TEXTS)]:
            ids = tokenizer.encode(sample).ids
            lines.append({"text": sample, "ids": ids, "decoded": tokenizer.decode(ids)})
        for _ in range(RANDOM_IDS):
            ids = [rnd.randrange(tokenizer.get_vocab_size() + 2) for _ in range(rnd.randrange(1, 12))]
            lines.append({"ids": ids, "decoded": tokenizer.decode(ids), "decoded_with_special": tokenizer.decode(ids, skip_special_tokens=False)})
        (FOLDER / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


main()
