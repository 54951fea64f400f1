"""What the metrics are about: the headings under which a report shows them."""

from collections.abc import Iterable, Mapping

GROUPS: Mapping[str, tuple[str, ...]] = {
    "likelihood": (
        "bits_per_byte",
        "accuracy",
        "accuracy_raw",
        "accuracy_sum",
        "accuracy_letter",
    ),
    "similarity": ("chrf", "bleu", "bleu_morpheme", "rouge1", "rouge2", "rougeL"),
    "legal": ("keyword_coverage", "legal_relevance", "legal_term_rate"),
    "citations": (
        "citation_f1",
        "citation_verified",
        "citation_absent",
        "citation_mismatch",
        "citation_unchecked",
    ),
    "form": ("response_length", "repetition", "stopped"),
}
OTHER = "other"


def grouped(names: Iterable[str]) -> dict[str, list[str]]:
    """The names under their headings, in the headings' order; what belongs under none comes last,
    under `OTHER`, so that no figure is lost."""
    left = list(names)
    found = {group: [name for name in members if name in left] for group, members in GROUPS.items()}
    placed = {name for members in found.values() for name in members}
    found[OTHER] = [name for name in left if name not in placed]
    return {group: members for group, members in found.items() if members}
