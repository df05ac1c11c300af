"""The demo model's tokenizer: SentencePiece BPE with LLaMA-2's settings."""

import io

import sentencepiece

from llama import BOS, EOS, UNKNOWN


def train_tokenizer(texts: list[str], vocab_size: int) -> bytes:
    """The serialized model. Newline is a piece of its own (so no piece crosses lines); the texts go
    in whole, not line by line, so that words at line starts are counted without the space mark."""
    chunks = []
    for text in texts:  # SentencePiece limits a sentence's length; cut after a line
        while text:
            cut = text.rfind("\n", 0, 8000) + 1 if len(text) > 8000 else len(text)
            cut = cut or 8000
            chunks.append(text[:cut])
            text = text[cut:]
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(chunks),
        model_writer=model,
        model_type="bpe",
        vocab_size=vocab_size,
        byte_fallback=True,
        split_digits=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        add_dummy_prefix=True,
        allow_whitespace_only_pieces=True,
        user_defined_symbols=["\n"],
        character_coverage=0.99995,
        max_sentence_length=40000,
        unk_id=UNKNOWN,
        bos_id=BOS,
        eos_id=EOS,
        pad_id=-1,
        num_threads=2,
        minloglevel=2,
    )
    return model.getvalue()


def load_tokenizer(serialized: bytes) -> sentencepiece.SentencePieceProcessor:
    return sentencepiece.SentencePieceProcessor(model_proto=serialized)


def require_round_trip(tokenizer: sentencepiece.SentencePieceProcessor, text: str) -> list[int]:
    ids = tokenizer.encode(text)
    if tokenizer.decode(ids) != text:
        raise SystemExit("the tokenizer does not give the demo text back exactly")
    return ids
