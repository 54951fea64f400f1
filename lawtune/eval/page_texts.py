"""The texts of the page's own parts and of the contamination check, one table a language, with the
same keys; `lawtune.eval.texts` joins them to the others."""

KOREAN = {
    "groups": {
        "likelihood": "정답에 준 확률",
        "similarity": "정답과 닮은 정도",
        "legal": "법률 내용",
        "citations": "인용",
        "form": "답의 꼴",
        "other": "그 밖의 지표",
    },
    "arrows": {"higher": "↑ 높을수록 좋음", "lower": "↓ 낮을수록 좋음", None: "방향 없음"},
    "contents": "차례",
    "key_heading": "두 모델의 값과 차이",
    "key_heading_alone": "모델의 값",
    "key_note": "네모는 기준 모델, 동그라미는 미세조정한 모델의 값이고 가로 선은 95% 구간입니다."
    " 그 옆(좁은 화면에서는 아래)은 두 모델을 짝지은 차이로, 오른쪽이 나아진 쪽입니다. 눈금은"
    " 줄마다 다릅니다. 두 구간이 겹치더라도 짝지은 차이는 확인될 수 있습니다.",
    "key_note_alone": "가로 선은 95% 구간입니다. 눈금은 줄마다 다릅니다.",
    "by_law_heading": "법령별",
    "part_note": "문항이 적은 칸은 구간이 넓습니다.",
    "law": "법령",
    "other_laws": "그 밖의 법령",
    "no_law": "법령이 적히지 않은 문항",
    "forest_by_part": "차이: {metric} (괄호는 문항 수)",
    "all_figures": "모든 지표 펼치기",
    "all_figures_elsewhere": "모든 지표의 값은 evaluation_report.json에 있습니다.",
    "judged_marks": "나아짐 ▲ · 나빠짐 ▼ · 차이 확인 안 됨 ○ · 판정 불가 ?",
    "calibration_heading": "확률의 보정",
    "calibration_note": "모델이 고른 답에 준 확률이 믿을 만한지 봅니다. 확률은 정답 고르기에 쓴"
    " 점수(질문이 답의 로그 확률을 얼마나 높이는지)의 소프트맥스로, 선택지가 처음에 모두 똑같이"
    " 그럴듯하다고 볼 때의 사후 확률입니다. 잘 보정된 모델이라면 70%로 고른 답의 70%가 맞아, 점이"
    " 점선 위에 놓입니다. 점이 점선보다 아래에 있으면 과신입니다.",
    "reliability_x": "고른 답에 준 확률",
    "reliability_y": "그 답이 맞은 비율",
    "calibration_bins": "점마다 문항 {low}~{high}개, 세로 선은 윌슨 95% 구간. 모두 {n}문항.",
    "ece": "기대 보정 오차 (ECE)",
    "ece_definition": "확률과 맞은 비율의 거리의 평균 (같은 수의 문항을 담은 구간별). 0이면"
    " 완벽합니다",
    "ece_if_calibrated": "완벽히 보정된 모델도 이만한 자료에서는 평균 {mean}, 스무 번에 한 번은"
    " {q95} 넘게 나옵니다.",
    "ece_above": "따라서 보정되지 않았습니다.",
    "ece_within": "따라서 보정이 어긋났다고 볼 증거는 없습니다.",
    "overconfidence": "과신",
    "overconfidence_definition": "평균 확률 − 맞은 비율. 양수면 과신, 음수면 자신감 부족.",
    "calibration_source": "출처: Guo et al. 2017 (arXiv:1706.04599), 같은 수의 구간은 Nixon et al."
    " 2019 (arXiv:1904.01685), 완벽한 모델의 값은 Bröcker & Smith 2007.",
    "excluded_calibration": "확률을 구할 수 없어 뺀 문항: {count}개.",
    "contamination_heading": "오염 검사",
    "contamination_note": "정답에 있는 13어절 토막의 절반 이상이 모델이 읽은 글에도 있으면 오염된"
    " 것으로 봅니다. 법령 조문을 그대로 옮긴 토막은 세지 않습니다. 법령 밖의 토막이 {fewest}개보다"
    " 적은 정답은 판정하지 않습니다.",
    "contamination": {
        "texts": {"training": "미세조정 자료", "pretraining": "기준 모델의 사전학습 글"},
        "unknown": "오염 검사: 모름. {texts}의 기록이 없어, 모델이 정답을 미리 읽었는지 알 수"
        " 없습니다.",
        "clean": "오염 검사({texts}): 판정한 정답 {judged}개 가운데 모델이 미리 읽은 것은"
        " 없습니다.",
        "found": "오염 검사({texts}): 판정한 정답 {judged}개 가운데 {count}개를 모델이 미리"
        " 읽었습니다(뺀 값은 보고서에).",
        "partly": "모르는 글: {texts}(기록 없음).",
        "unjudged": "오염 검사({texts}): 모름. 짧거나 법령을 옮긴 정답뿐이어서 판정할 수 있는 것이"
        " 없습니다.",
    },
    "contaminated_share": "오염된 정답",
    "with_contaminated": "전체",
    "without_contaminated": "오염된 답을 뺀 값",
    "contaminated_answers": "오염된 정답 목록 (읽은 글에 있는 비율)",
    "legend_heading": "표시",
    "same_passage": "정답과 같은 부분",
    "statuses": {
        "verified": "확인됨",
        "absent": "조문 없음",
        "mismatch": "불일치",
        "unchecked": "확인 못 함",
    },
    "index_note": "인용은 {as_of}까지의 법령·판례 색인과 대조했습니다. 확인 못 함: 색인에 없는"
    " 법령·판례, 구법, 어느 법인지 알 수 없는 조문.",
    "more_characters": "({count}자 더 있음)",
    "not_stopped": "스스로 끝맺지 못함",
    "false_citations": "없거나 틀린 인용 {count}건",
    "likeness": "chrF {value}",
    "worst_heading": "가장 나쁜 답 {count}개",
    "worst_note": "없거나 틀린 조문·판례를 많이 인용한 답부터, 그 수가 같으면 정답과 가장 덜 닮은"
    " 답(답 하나의 chrF)부터입니다. 답을 생성한 {generated}문항 가운데서 골랐습니다.",
    "command_heading": "명령",
    "signature_heading": "서명",
    "settings_heading": "모델, 자료, 설정, 버전",
    "types_elsewhere": "질문 유형별: report.html",
    "metrics_elsewhere": "… 그 밖의 지표 {count}개: report.html",
    "extras": {
        "chance": "우연",
        "word_overlap_baseline": "글자 겹침",
        "unknown_bytes": "<unk> 바이트",
        "gold": "정답",
        "articles": "조문만",
        "decisions": "판결만",
    },
    "p_holm": "p (보정)",
    "detectable": "검출 한계",
    "test_note": "p는 출처마다 차이에 보탠 몫의 부호를 무작위로 바꾸어 보는 순열 검정의 값을 모든"
    " 지표에 걸쳐 홀름 방법으로 보정한 것입니다. 검출 한계는 이 자료로 열에 여덟 번은 찾아낼 수"
    " 있는 가장 작은 차이로, 그보다 작은 차이는 있어도 보이지 않기 쉽습니다.",
    "part_verdicts": "판정은 모든 칸과 지표에 걸쳐 보정한 것입니다.",
    "picked_right": "○ 고른 답이 맞음",
    "picked_wrong": "✗ 고른 답이 틀림",
    "contamination_counts": "정답 {n}개 가운데 {judged}개를 판정하였습니다.",
}

ENGLISH = {
    "groups": {
        "likelihood": "Probability given to the gold answers",
        "similarity": "Likeness to the gold answers",
        "legal": "Legal content",
        "citations": "Citations",
        "form": "Form of the answers",
        "other": "Other figures",
    },
    "arrows": {"higher": "↑ higher is better", "lower": "↓ lower is better", None: "no direction"},
    "contents": "Contents",
    "key_heading": "Both models' figures and their difference",
    "key_heading_alone": "The model's figures",
    "key_note": "Squares are the base's figures, discs the tuned model's, lines their 95%"
    " intervals. Beside them (below, on a narrow screen) stand the paired differences; right is"
    " better. Each row has its own scale. A paired difference may be shown even where the two"
    " intervals overlap.",
    "key_note_alone": "Lines are 95% intervals; each row has its own scale.",
    "by_law_heading": "By law",
    "part_note": "Few questions make wide intervals.",
    "law": "law",
    "other_laws": "other laws",
    "no_law": "no law stated",
    "forest_by_part": "Difference: {metric} (number of questions in brackets)",
    "all_figures": "All figures",
    "all_figures_elsewhere": "All figures are in evaluation_report.json.",
    "judged_marks": "better ▲ · worse ▼ · no difference shown ○ · cannot be told ?",
    "calibration_heading": "Calibration of the probabilities",
    "calibration_note": "What the probability that the model gives to the choice it takes is"
    " worth. It is the soft-max of the scores behind accuracy (by how much the question raises an"
    " answer's log-probability), which is the posterior if all choices were equally likely"
    " beforehand. Of what a calibrated model takes at 70%, 70% is right: its points lie on the"
    " dashed line; below it, the model is overconfident.",
    "reliability_x": "probability given to the choice taken",
    "reliability_y": "share of those that are right",
    "calibration_bins": "Each point is {low}–{high} questions, its line a Wilson 95% interval; {n}"
    " questions in all.",
    "ece": "expected calibration error (ECE)",
    "ece_definition": "mean distance between probability and share right, over bins of equal size;"
    " 0 is perfect",
    "ece_if_calibrated": "A perfectly calibrated model would score {mean} on average on a set of"
    " this size, and above {q95} one time in twenty.",
    "ece_above": "So this one is not calibrated.",
    "ece_within": "So that it is miscalibrated is not shown.",
    "overconfidence": "overconfidence",
    "overconfidence_definition": "mean probability − share right; positive: overconfident",
    "calibration_source": "Source: Guo et al. 2017 (arXiv:1706.04599); bins of equal size: Nixon"
    " et al. 2019 (arXiv:1904.01685); the perfect model's score: Bröcker & Smith 2007.",
    "excluded_calibration": "Questions left out for want of finite probabilities: {count}.",
    "contamination_heading": "Contamination",
    "contamination_note": "A gold answer is contaminated if at least half of its 13-word runs"
    " stand in text that the model has read. Runs quoted from a statute do not count, and an"
    " answer with fewer than {fewest} others is not judged.",
    "contamination": {
        "texts": {"training": "fine-tuning data", "pretraining": "the base's pre-training text"},
        "unknown": "Contamination: unknown. There is no record of {texts}, so whether the model"
        " had read the answers cannot be told.",
        "clean": "Contamination ({texts}): none of the {judged} gold answers judged had been read.",
        "found": "Contamination ({texts}): {count} of the {judged} gold answers judged had been"
        " read (see the figures without them).",
        "partly": "Not known, for want of a record: {texts}.",
        "unjudged": "Contamination ({texts}): unknown. No gold answer could be judged: all are"
        " short or quote statutes.",
    },
    "contaminated_share": "contaminated",
    "with_contaminated": "all",
    "without_contaminated": "without contaminated answers",
    "contaminated_answers": "Contaminated answers, and how much of them stands in what was read",
    "legend_heading": "Legend",
    "same_passage": "as in the gold answer",
    "statuses": {
        "verified": "verified",
        "absent": "no such article",
        "mismatch": "mismatch",
        "unchecked": "unchecked",
    },
    "index_note": "Citations are checked against statutes and decisions up to {as_of}. Unchecked:"
    " not in that index, former law, or an article of an unknown statute.",
    "more_characters": "({count} more characters)",
    "not_stopped": "cut off, not ended",
    "false_citations": "absent or mismatched citations: {count}",
    "likeness": "chrF {value}",
    "worst_heading": "Worst answers ({count})",
    "worst_note": "Those first that cite most provisions and decisions which do not exist or say"
    " something else; among equals, those least like the gold answer (chrF of the one answer)."
    " Chosen among the {generated} questions that were answered in full.",
    "command_heading": "Command",
    "signature_heading": "Signature",
    "settings_heading": "Model, data, settings, versions",
    "types_elsewhere": "By question type: report.html",
    "metrics_elsewhere": "… {count} more figures: report.html",
    "extras": {
        "chance": "chance",
        "word_overlap_baseline": "shared characters",
        "unknown_bytes": "<unk> bytes",
        "gold": "gold",
        "articles": "articles alone",
        "decisions": "decisions alone",
    },
    "p_holm": "p (Holm)",
    "detectable": "detectable",
    "test_note": "p is of a permutation test that flips the sign of what each source adds to the"
    " difference, corrected over all metrics (Holm). Detectable is the smallest true difference"
    " that data of this size shows eight times in ten; smaller ones easily go unseen.",
    "part_verdicts": "Verdicts are corrected over all cells and metrics.",
    "picked_right": "○ picked right",
    "picked_wrong": "✗ picked wrong",
    "contamination_counts": "Of {n} gold answers {judged} were judged.",
}
