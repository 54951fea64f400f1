"""Wrong answers that are hard: of another source, of like length, and in the question's words."""

from dataclasses import replace

from lawtune.data.distractors import choose_distractors
from lawtune.records import QAPair, Source

ACTS = ["수선할", "인도할", "통지할", "반환할", "설명할", "보고할", "협력할", "고지할"]


def pair(name: str, question: str, answer: str, **changes) -> QAPair:
    return QAPair(question, answer, id=name, type="law_explanation", group=name, **changes)


# Six answers of one length that share nothing with one another.
ANSWERS = {
    "임대": "임대인은 목적물을 사용하게 할 의무를 부담한다.",
    "세금": "과세표준에는 소득세율을 곱하여 산출세액을 낸다.",
    "교통": "운전자가 횡단보도 앞에서 반드시 멈추어야 하겠다.",
    "상속": "상속재산은 직계비속과 배우자가 함께 물려받는다.",
    "회사": "주주총회 결의에서 출자자 과반수가 찬성할 것이다.",
    "형벌": "타인의 재물을 훔치면 절도죄로 처벌받게 되겠다.",
}


def unlike() -> list[QAPair]:
    return [pair(name, f"{name} 물음", text) for name, text in ANSWERS.items()]


def test_the_answers_in_the_questions_own_words_come_first():
    asked = replace(unlike()[0], question="운전자가 횡단보도 앞에서, 또 상속재산은 직계비속이?")
    chosen = choose_distractors([asked], 42, unlike())[0].distractors
    assert len(set(chosen)) == 4
    assert chosen[:2] == (ANSWERS["교통"], ANSWERS["상속"])
    assert asked.answer not in chosen


def test_those_on_the_same_statute_come_before_others():
    pool = [replace(p, source=Source("statute", law=p.id[:1])) for p in unlike()]
    pool[5] = replace(pool[5], source=Source("statute", law="임"))
    assert choose_distractors(pool[:1], 42, pool)[0].distractors[0] == ANSWERS["형벌"]


def test_what_may_be_right_as_well_comes_last_and_repeats_never():
    like = "임대인은 목적물을 사용하게 할 책임을 부담한다."
    pool = [*unlike(), pair("같음", "다른 물음", like), pair("쌍", "또 다른 물음", ANSWERS["임대"])]
    asked = replace(unlike()[0], question="임대인은 목적물을 사용하게 합니까?")
    chosen = choose_distractors([asked], 42, pool)[0].distractors
    assert like not in chosen and ANSWERS["임대"] not in chosen
    few = [*unlike()[1:4], *pool[6:]]
    assert choose_distractors([asked], 42, few)[0].distractors[-1] == like


def test_an_answer_to_the_same_question_comes_last():
    pool = unlike()
    pool[3] = replace(pool[3], question="주택을 빌려준 사람이 지는 의무는 무엇입니까?")
    asked = replace(pool[0], question="주택을 빌려준 사람이 지는 의무는 무엇인가요?")
    assert ANSWERS["상속"] not in choose_distractors([asked], 42, pool)[0].distractors


def test_types_and_groups_are_not_mixed_and_lengths_are_alike():
    pool = unlike()
    pool[1] = replace(pool[1], type=None)
    assert choose_distractors(pool[:1], 42, pool)[0].distractors
    pool[2] = replace(pool[2], group="임대")
    assert choose_distractors(pool[:1], 42, pool)[0].distractors == ()
    long = [*unlike()[:4], pair("김", "물음", "길다 " * 50), pair("짧음", "물음", "짧다.")]
    assert choose_distractors(long[:1], 42, long)[0].distractors == ()


def test_too_few_candidates_give_none():
    assert choose_distractors(unlike()[:4], 42) == unlike()[:4]
    assert choose_distractors([], 42) == []


def test_a_pairs_own_wrong_answers_stay():
    pairs = [replace(unlike()[0], distractors=("내 오답",)), *unlike()[1:]]
    chosen = choose_distractors(pairs, 42, unlike())
    assert chosen[0] == pairs[0]
    assert chosen[1:] == choose_distractors(unlike(), 42, unlike())[1:]


def test_pairs_without_a_group_are_each_their_own():
    pairs = [replace(p, group=None) for p in unlike()]
    for chosen in choose_distractors(pairs, 42):
        assert len(chosen.distractors) == 4
        assert chosen.answer not in chosen.distractors


def test_nothing_else_changes_and_the_seed_decides():
    pairs = [pair(act, "물음", f"임대인은 임차인에게 {act} 의무가 있다.") for act in ACTS]
    first = choose_distractors(pairs, 1)
    assert first == choose_distractors(pairs, 1)
    assert [replace(p, distractors=()) for p in first] == pairs


def test_a_wrong_answer_ends_as_the_gold_one_does():
    cited = [replace(p, citations=(f"{p.id}법 제1조",)) for p in unlike()]
    named = [replace(p, answer=f"{p.answer} ({p.citations[0]})") for p in cited]
    bare = choose_distractors(cited[:1], 42, named)[0].distractors
    assert len(bare) == 4 and set(bare) <= set(ANSWERS.values())
    dressed = choose_distractors(named[:1], 42, cited)[0].distractors
    assert len(dressed) == 4 and set(dressed) <= {p.answer for p in named}
