"""The texts of a comparison of two models, A and B, where they differ from those of an evaluation
of one model beside its base."""

from collections.abc import Mapping
from typing import Any

KOREAN = {
    "title": "lawtune 비교 보고서",
    "tuned": "B",
    "base": "A",
    "headlines": {
        "better": "B가 A보다 낫습니다.",
        "better_bits": "B가 낫습니다: 정답을 더 잘 예측합니다. 정답을 더 잘 고른다는 증거는"
        " 없습니다.",
        "better_accuracy": "B가 낫습니다: 정답을 더 잘 고릅니다. 정답을 더 잘 예측한다는 증거는"
        " 없습니다.",
        "better_answers": "B가 낫습니다: 답변의 지표 가운데 나은 것이 있고 못한 것은 없습니다.",
        "mixed": "엇갈립니다: B가 나은 지표도 있고 못한 지표도 있습니다.",
        "worse": "B가 A보다 못합니다.",
        "worse_bits": "B가 A보다 못합니다: 정답 예측이 더 나쁩니다.",
        "worse_accuracy": "B가 A보다 못합니다: 정답을 덜 고릅니다.",
        "worse_answers": "B가 A보다 못합니다: 답변의 지표 가운데 못한 것이 있고 나은 것은"
        " 없습니다.",
        "none": "A와 B의 차이가 확인되지 않았습니다.",
        "unknown": "자료가 적어 A와 B의 차이를 판정할 수 없습니다.",
        "alone": "두 모델에 공통된 지표가 없습니다.",
    },
    "judgements": {
        "better": "B가 나음",
        "worse": "B가 못함",
        "none": "차이 확인 안 됨",
        "unknown": "판정 불가",
        "neutral": "-",
    },
    "chance": {
        "above": "B의 정답 고르기 {value}: 우연({other})보다 높습니다.",
        "below": "B의 정답 고르기 {value}: 우연({other})보다 낮습니다.",
        "same": "B의 정답 고르기 {value}: 우연({other})과 구별되지 않습니다.",
    },
    "overlap": {
        "above": "B의 정답 고르기: 질문과 겹치는 글자만 세는 방법({other})보다 높습니다.",
        "below": "B의 정답 고르기: 질문과 겹치는 글자만 세는 방법({other})에 못 미칩니다.",
        "same": "B의 정답 고르기: 질문과 겹치는 글자만 세는 방법({other})과 구별되지 않습니다.",
    },
    "seeds": "{metric}, 실행(시드)별: A {a} / B {b}. 실행 사이의 편차로 본 차이의 95% 구간:"
    " {bounds}.",
    "by_seed": "실행(시드) 사이의 편차로 설명될 수 있어 차이로 치지 않은 지표: {metrics}.",
    "not_compared": {
        "missing": "{metric}: 한쪽에만 있어 비교하지 않았습니다.",
        "tokenizers": "{metric}: 두 토크나이저가 모르는 글자(<unk>)가 서로 달라 비교하지"
        " 않았습니다.",
    },
    "missing_answers": "{name}: 답이 없어 빈 답으로 센 문항 {count}개.",
    "table_note": "차이 = B − A. 구간은 같은 출처(조문·판결)의 문항을 묶어 다시 뽑아 구했습니다."
    " 구간이 0에 걸치거나, 여러 지표에 맞추어 보정한 p(Holm)가 0.05를 넘으면 차이를 보이지 못한"
    " 것입니다.",
    "forest_heading": "A와 B의 차이",
    "worse_side": "← A가 나음",
    "better_side": "B가 나음 →",
    "key_note": "네모는 A, 동그라미는 B의 값, 선은 95% 구간입니다. 그 옆(좁은 화면에서는 아래)은"
    " 같은 문항에서 짝지은 차이로, 오른쪽이 B가 나은 쪽입니다. 줄마다 눈금이 다릅니다. 두"
    " 구간이 겹쳐도 짝지은 차이는 보일 수 있습니다.",
    "judged_marks": "B가 나음 ▲ · B가 못함 ▼ · 차이 확인 안 됨 ○ · 판정 불가 ?",
}

ENGLISH = {
    "title": "lawtune comparison report",
    "tuned": "B",
    "base": "A",
    "headlines": {
        "better": "B is better than A.",
        "better_bits": "B is better: it predicts the gold answers better. That it picks them more"
        " often is not shown.",
        "better_accuracy": "B is better: it picks the gold answers more often. That it predicts"
        " them better is not shown.",
        "better_answers": "B is better: some figures of its answers are, and none is worse.",
        "mixed": "Mixed: B is better in one figure, worse in another.",
        "worse": "B is worse than A.",
        "worse_bits": "B is worse: it predicts the gold answers worse.",
        "worse_accuracy": "B is worse: it picks the gold answers less often.",
        "worse_answers": "B is worse: some figures of its answers are, and none is better.",
        "none": "No difference between A and B is shown.",
        "unknown": "The data is too small to tell A from B.",
        "alone": "A and B have no figure in common.",
    },
    "judgements": {
        "better": "B better",
        "worse": "B worse",
        "none": "no difference shown",
        "unknown": "cannot be told",
        "neutral": "-",
    },
    "chance": {
        "above": "Accuracy of B {value}: above chance ({other}).",
        "below": "Accuracy of B {value}: below chance ({other}).",
        "same": "Accuracy of B {value}: not told apart from chance ({other}).",
    },
    "overlap": {
        "above": "Accuracy of B: above merely counting characters shared with the question"
        " ({other}).",
        "below": "Accuracy of B: below merely counting characters shared with the question"
        " ({other}).",
        "same": "Accuracy of B: not told apart from merely counting characters shared with the"
        " question ({other}).",
    },
    "seeds": "{metric} by run (seed): A {a}; B {b}. 95% interval of the difference by the spread"
    " between runs: {bounds}.",
    "by_seed": "Differences that the spread between runs (seeds) may explain, and that therefore do"
    " not count: {metrics}.",
    "not_compared": {
        "missing": "{metric}: only one side has it, so it is not compared.",
        "tokenizers": "{metric}: not compared, for the tokenizers do not know (<unk>) different"
        " things.",
    },
    "missing_answers": "{name}: questions without an answer, counted as empty: {count}.",
    "table_note": "Difference = B − A. Intervals resample the questions of one source (an article,"
    " a decision) together. A difference is shown if its interval leaves out 0 and its p-value,"
    " corrected for the number of metrics (Holm), is at most 0.05.",
    "forest_heading": "Difference between A and B",
    "worse_side": "← A better",
    "better_side": "B better →",
    "key_note": "Squares are A's figures, discs B's, lines their 95% intervals. Beside them (below,"
    " on a narrow screen) stand the paired differences; right is where B is better. Each row has"
    " its own scale. A paired difference may be shown even where the two intervals overlap.",
    "judged_marks": "B better ▲ · B worse ▼ · no difference shown ○ · cannot be told ?",
}

LANGUAGES: Mapping[str, Mapping[str, Any]] = {"ko": KOREAN, "en": ENGLISH}
