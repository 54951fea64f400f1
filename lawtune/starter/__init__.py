"""What ships inside the package: corpus, questions and answers, and the starter model."""

from pathlib import Path

_HERE = Path(__file__).resolve().parent

CORPUS = _HERE / "corpus"
"""Statutes and Supreme Court decisions in Markdown; see DATA_CARD.md."""

QA = _HERE / "qa"
"""The questions and answers that `lawtune data build` makes of the corpus, and the further ones of
`tools/extend_qa.py`."""

LEXICON = _HERE / "lexicon"
"""Document frequencies and legal terms of the corpus, by `tools/make_lexicon.py`."""
