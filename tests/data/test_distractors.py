"""Wrong answers that are hard: alike, of another source, of like length."""

from lawtune.data.distractors import choose_distractors
from lawtune.records import QAPair


def pairs_about(topics: dict[str, list[str]], kind: str | None = "law_explanation"):
    return [
        QAPair("물음", text, id=f"{group}-{i}", type=kind, group=group)
        for group, texts in topics.items()
        for i, text in enumerate(texts)
    ]


BASE = "임대인은 임차인에게 {} 의무가 있고 이를 게을리하면 손해를 배상한다."
ACTS = ["수선할", "인도할", "통지할", "반환할", "설명할", "보고할", "협력할", "고지할"]
LEASE = {f"임대{i}": [BASE.format(act)] for i, act in enumerate(ACTS)}
TAX = {
    f"세법{i}": [f"과세표준은 {i}억원을 넘는 금액에 백분의 {i}의 세율을 곱하여 셈한다."]
    for i in range(3, 9)
}


def test_four_of_other_groups_and_like_length_and_the_nearest():
    pairs = pairs_about(LEASE | TAX)
    by_id = {pair.id: pair for pair in pairs}
    for chosen in choose_distractors(pairs, 42):
        assert len(set(chosen.distractors)) == 4
        for name in chosen.distractors:
            other = by_id[name]
            assert other.group != chosen.group
            assert other.group[:2] == chosen.group[:2]  # leases beside leases
            assert abs(len(other.answer) - len(chosen.answer)) <= 0.5 * len(chosen.answer)


def test_types_are_not_mixed():
    pairs = pairs_about(LEASE) + pairs_about({f"x{g}": t for g, t in LEASE.items()}, None)
    for chosen in choose_distractors(pairs, 42):
        assert len(chosen.distractors) == 4
        assert all(name.startswith("x") == (chosen.type is None) for name in chosen.distractors)


def test_repeats_of_the_answer_or_of_one_another_do_not_serve():
    twins = {f"쌍{i}": [LEASE["임대0"][0]] for i in range(6)}
    chosen = choose_distractors(pairs_about(LEASE | twins), 42)
    for pair in chosen:
        names = (pair.id, *pair.distractors)
        assert sum(name == "임대0-0" or name.startswith("쌍") for name in names) <= 1


def test_too_few_candidates_give_none():
    alone = pairs_about({"가": ["짧다."], **{f"나{i}": ["길다 " * 50 + str(i)] for i in range(4)}})
    assert all(pair.distractors == () for pair in choose_distractors(alone, 42))
    kin = pairs_about({"한": [BASE.format(act) for act in ACTS]})
    assert all(pair.distractors == () for pair in choose_distractors(kin, 42))
    assert choose_distractors([], 42) == []


def test_pairs_without_a_group_are_each_their_own():
    pairs = [QAPair("물음", BASE.format(act), id=act) for act in ACTS]
    for chosen in choose_distractors(pairs, 42):
        assert len(chosen.distractors) == 4
        assert chosen.id not in chosen.distractors


def test_nothing_else_changes_and_the_seed_decides():
    pairs = pairs_about(LEASE | TAX)
    first = choose_distractors(pairs, 1)
    assert first == choose_distractors(pairs, 1)
    assert [(p.id, p.answer, p.group) for p in first] == [(p.id, p.answer, p.group) for p in pairs]
