"""Every text of the reports, one table a language, with the same keys."""

from collections.abc import Mapping
from typing import Any

from lawtune.config import QUESTION_TYPES
from lawtune.errors import UserError
from lawtune.eval import compare_texts, page_texts
from lawtune.eval.metrics import METRICS

KOREAN = {
    "title": "lawtune 평가 보고서",
    "tuned": "미세조정",
    "base": "기준",
    "alone": "모델",
    "gold": "정답",
    "metric": "지표",
    "difference": "차이",
    "interval": "95% 구간",
    "verdict": "판정",
    "type": "질문 유형",
    "types": {**QUESTION_TYPES, "general": "유형 없음"},
    "metrics": {
        "bits_per_byte": "정답 비트/바이트",
        "accuracy": "정답 고르기",
        "accuracy_raw": "고르기(원점수)",
        "accuracy_sum": "고르기(합)",
        "accuracy_letter": "고르기(기호)",
        "chrf": "chrF",
        "bleu": "BLEU(글자)",
        "bleu_morpheme": "BLEU(형태소)",
        "rouge1": "ROUGE-1(형태소)",
        "rouge2": "ROUGE-2(형태소)",
        "rougeL": "ROUGE-L(형태소)",
        "keyword_coverage": "핵심어 포함률",
        "legal_relevance": "법적 관련성(F1)",
        "legal_term_rate": "법률용어 비율",
        "citation_verified": "인용: 확인됨",
        "citation_absent": "인용: 없는 조문",
        "citation_mismatch": "인용: 불일치",
        "citation_unchecked": "인용: 확인 못 함",
        "citation_f1": "인용 일치(F1)",
        "response_length": "답변 길이(글자)",
        "repetition": "반복",
        "stopped": "스스로 끝낸 답",
    },
    "definitions": {
        "bits_per_byte": "정답을 예측하는 데 드는 비트: Σ −log2 p(정답 | 프롬프트) ÷ Σ 정답의"
        " UTF-8 바이트(NFC). 종료 토큰은 세지 않습니다.",
        "accuracy": "여러 답(선택지가 없는 자료는 비슷한 오답 넷) 가운데 정답을 고른 비율. 질문이"
        " 답의 확률을 얼마나 높이는지로 고릅니다: log p(답 | 질문) − log p(답 | 질문을 비운 같은"
        " 틀). 동점은 오답입니다.",
        "accuracy_raw": "같은 문항을 log p(답 | 질문) ÷ 답의 UTF-8 바이트로 고른 비율. 동점은"
        " 오답입니다.",
        "accuracy_sum": "같은 문항을 log p(답 | 질문) 그대로 고른 비율. 짧은 답이 유리합니다."
        " 동점은 오답입니다.",
        "accuracy_letter": "선택지를 A., B., …로 질문 뒤에 늘어놓고 log p(기호 | 질문과 선택지)로"
        " 고른 비율. 동점은 오답입니다.",
        "chrf": "생성한 답 전체의 글자 n그램 F점수 (1~6그램, β = 2).",
        "bleu": "생성한 답 전체의 글자 단위 BLEU (1~4그램).",
        "bleu_morpheme": "생성한 답 전체의 형태소 단위 BLEU (1~4그램). 문장부호는 뺍니다.",
        "rouge1": "정답과 공통된 형태소의 F1을 문항마다 구한 평균. 문장부호는 뺍니다.",
        "rouge2": "정답과 공통된 이웃한 두 형태소의 F1을 문항마다 구한 평균. 문장부호는 뺍니다.",
        "rougeL": "형태소 최장 공통 부분열의 F1을 문항마다 구한 평균. 문장부호는 뺍니다.",
        "keyword_coverage": "정답의 내용 형태소(명사, 수사, 어근, 동사, 형용사, 외국어) 가운데"
        " 답에도 있는 것의 비율. 드문 말일수록 가중치를 크게 두고(내장 말뭉치의 idf), 질문과"
        " 참고 자료에 이미 있는 말은 정답에서도 답에서도 뺍니다. 문항 평균.",
        "legal_relevance": "답의 조문·판결·법률용어가 정답의 것과 얼마나 일치하는지(F1)의 문항"
        " 평균. 질문과 참고 자료에 이미 있는 것은 양쪽에서 뺍니다.",
        "legal_term_rate": "생성한 답 전체의 명사 형태소 가운데 내장 법률용어 목록에 있는 말의"
        " 비율. 높다고 좋은 것은 아닙니다.",
        "citation_verified": "생성한 답의 인용 가운데 색인에서 확인된 것의 비율.",
        "citation_absent": "생성한 답의 인용 가운데 색인의 그 법령에 없는 조문의 비율.",
        "citation_mismatch": "생성한 답의 인용 가운데 색인과 어긋나는 것(조문 제목, 항, 인용문,"
        " 판결의 선고일이나 법원)의 비율.",
        "citation_unchecked": "생성한 답의 인용 가운데 색인이 다루지 않아 확인하지 못한 것의 비율.",
        "citation_f1": "답이 인용한 조문·판결이 자료에 적힌 인용(citations)과 얼마나 일치하는지"
        "(F1)의 문항 평균. 질문과 참고 자료에 이미 있는 것은 양쪽에서 빼고, 정답이 그 밖에 더"
        " 인용한 것은 맞지도 틀리지도 않은 것으로 봅니다.",
        "response_length": "생성한 답의 평균 글자 수 (NFC). 길수록 좋거나 나쁜 것은 아닙니다.",
        "repetition": "생성한 답의 이어진 네 어절(16자를 넘는 어절은 글자로 나눔) 가운데 같은"
        " 답에서 앞서 나온 것의 비율.",
        "stopped": "허용한 길이 안에서 모델이 스스로 끝낸 답의 비율.",
    },
    "judgements": {
        "better": "나아짐",
        "worse": "나빠짐",
        "none": "차이 확인 안 됨",
        "unknown": "판정 불가",
        "neutral": "-",
    },
    "brief_judgements": {"none": "불분명", "unknown": "불가"},
    "headlines": {
        "better": "미세조정한 모델이 기준 모델보다 낫습니다.",
        "better_bits": "나아졌습니다: 정답을 더 잘 예측합니다. 정답을 더 잘 고른다는 증거는"
        " 없습니다.",
        "better_accuracy": "나아졌습니다: 정답을 더 잘 고릅니다. 정답을 더 잘 예측한다는 증거는"
        " 없습니다.",
        "mixed": "엇갈립니다: 한 지표는 나아지고 다른 지표는 나빠졌습니다.",
        "worse": "미세조정한 모델이 기준 모델보다 나쁩니다.",
        "worse_bits": "나빠졌습니다: 정답 예측이 더 나빠졌습니다.",
        "worse_accuracy": "나빠졌습니다: 정답을 더 못 고릅니다.",
        "none": "기준 모델과의 차이가 확인되지 않았습니다.",
        "unknown": "자료가 적어 기준 모델과의 차이를 판정할 수 없습니다.",
        "alone": "기준 모델과 비교하지 않은 평가입니다.",
    },
    "chance": {
        "above": "정답 고르기 {value}: 우연({other})보다 높습니다.",
        "below": "정답 고르기 {value}: 우연({other})보다 낮습니다.",
        "same": "정답 고르기 {value}: 우연({other})과 구별되지 않습니다.",
    },
    "overlap": {
        "above": "정답 고르기: 질문과 겹치는 글자만 세는 방법({other})보다 높습니다.",
        "below": "정답 고르기: 질문과 겹치는 글자만 세는 방법({other})에 못 미칩니다.",
        "same": "정답 고르기: 질문과 겹치는 글자만 세는 방법({other})과 구별되지 않습니다.",
    },
    "smallest_shown": "이 자료로 보일 수 있는 가장 작은 차이(실제로 그만큼 다르면 다섯 번에 네 번은"
    " 보임): {sizes}.",
    "small": "작은 평가 자료입니다(출처 {groups}개). 다음보다 작은 차이는 있어도 보이지 않을 수"
    " 있습니다: {sizes}.",
    "large": "다음보다 작은 차이는 있어도 보이지 않을 수 있습니다: {sizes}.",
    "few_groups": "출처가 {most}개가 안 되어 구간이 실제보다 좁을 수 있습니다: {metrics}.",
    "unknown_share": "정답 바이트 가운데 토크나이저가 모르는 것(<unk>): {share}.",
    "unknown_bytes": "정답의 {share}를 토크나이저가 모릅니다(<unk>): 비트/바이트를 토크나이저가"
    " 다른 모델과 비교할 수 없습니다.",
    "excluded": "알맞은 오답이 없어 정답 고르기에서 뺀 문항: {count}개.",
    "rechosen": "저장된 오답이 없어 새로 고른 문항: {count}개.",
    "questions_cut": "모델의 문맥보다 길어 앞부분을 자르고 푼 문항: {count}개.",
    "not_numbers": "모델의 로그우도 가운데 수가 아닌 것(NaN)이 {count}개 있습니다. 모델이"
    " 손상되었거나 정밀도가 낮아 생기는 일이니, 이 보고서의 수치를 믿지 마십시오.",
    "prompts_cut": "모델의 문맥에 비해 길어 앞부분을 자르고 물은 문항: {count}개.",
    "missing": "답이 없어 빈 답으로 센 문항: {count}개.",
    "unknown_ids": "자료에 없는 id여서 뺀 답: {count}개.",
    "answers_cut": "너무 길어 뒤를 자르고 센 답: {count}개.",
    "nothing_to_know": "정답에 견줄 것이 없어(질문에 이미 있는 것은 뺌) 지표에서 뺀 문항 수:"
    " {counts}.",
    "counts_choices": "객관식 문항 {n}개 (출처 {groups}개). 구간: 출처 단위 부트스트랩"
    " {resamples}회.",
    "counts": "문항 {n}개 (출처 {groups}개), 답을 생성한 문항 {generated}개."
    " 구간: 출처 단위 부트스트랩 {resamples}회.",
    "table_heading": "지표",
    "table_note": "차이 = 미세조정 − 기준 모델. 구간은 같은 출처(조문·판결)의 문항을 묶어 다시 뽑아"
    " 구했습니다. 구간이 0에 걸치거나, 여러 지표에 맞추어 보정한 p(Holm)가 0.05를 넘으면 차이를"
    " 보이지 못한 것입니다.",
    "baselines": "정답 고르기의 비교 기준: 우연 {chance}, 질문과 겹치는 글자만 세는 방법"
    " {overlap}.",
    "forest_heading": "기준 모델과의 차이",
    "worse_side": "← 나빠짐",
    "better_side": "나아짐 →",
    "by_type_heading": "질문 유형별",
    "curve_heading": "학습 곡선",
    "curve_x": "학습 단계 (가중치 갱신 횟수)",
    "curve_y": "손실 (nats/토큰)",
    "curve_loss": "학습 손실",
    "curve_validation_loss": "검증 손실",
    "samples_heading": "답변 예시",
    "samples_note": "답의 내용과 무관하게 질문 유형별로 차례로 뽑은 예시입니다.",
    "question": "질문",
    "empty_answer": "(빈 답)",
    "definitions_heading": "지표의 정의",
    "definition": "정의",
    "range": "범위",
    "source": "출처",
    "signature": "서명",
    "run_heading": "재현에 필요한 것",
    "run_note": "서명이 같은 보고서끼리만 비교할 수 있습니다.",
    "files": "자세히: report.html · 수치: evaluation_report.json · 답: predictions.jsonl",
}

ENGLISH = {
    "title": "lawtune evaluation report",
    "tuned": "tuned",
    "base": "base",
    "alone": "model",
    "gold": "gold",
    "metric": "metric",
    "difference": "difference",
    "interval": "95% CI",
    "verdict": "verdict",
    "type": "question type",
    "types": {**{name: name.replace("_", " ") for name in QUESTION_TYPES}, "general": "untyped"},
    "metrics": {
        "bits_per_byte": "bits per byte",
        "accuracy": "accuracy",
        "accuracy_raw": "accuracy (raw)",
        "accuracy_sum": "accuracy (sum)",
        "accuracy_letter": "accuracy (letter)",
        "chrf": "chrF",
        "bleu": "BLEU (characters)",
        "bleu_morpheme": "BLEU (morphemes)",
        "rouge1": "ROUGE-1 (morphemes)",
        "rouge2": "ROUGE-2 (morphemes)",
        "rougeL": "ROUGE-L (morphemes)",
        "keyword_coverage": "keyword coverage",
        "legal_relevance": "legal relevance (F1)",
        "legal_term_rate": "legal terms (rate)",
        "citation_verified": "citations verified",
        "citation_absent": "citations absent",
        "citation_mismatch": "citations at odds",
        "citation_unchecked": "citations unchecked",
        "citation_f1": "citations (F1)",
        "response_length": "length (characters)",
        "repetition": "repetition",
        "stopped": "stopped by itself",
    },
    "definitions": {name: metric.definition for name, metric in METRICS.items()},
    "judgements": {
        "better": "better",
        "worse": "worse",
        "none": "no difference shown",
        "unknown": "cannot be told",
        "neutral": "-",
    },
    "brief_judgements": {"none": "not shown", "unknown": "unknown"},
    "headlines": {
        "better": "The tuned model is better than its base.",
        "better_bits": "Better: it predicts the gold answers better. That it picks them more often"
        " is not shown.",
        "better_accuracy": "Better: it picks the gold answers more often. That it predicts them"
        " better is not shown.",
        "mixed": "Mixed: one figure is better, the other worse.",
        "worse": "The tuned model is worse than its base.",
        "worse_bits": "Worse: it predicts the gold answers worse.",
        "worse_accuracy": "Worse: it picks the gold answers less often.",
        "none": "No difference to the base is shown.",
        "unknown": "The data is too small to tell the tuned model from its base.",
        "alone": "This model was not compared with a base.",
    },
    "chance": {
        "above": "Accuracy {value}: above chance ({other}).",
        "below": "Accuracy {value}: below chance ({other}).",
        "same": "Accuracy {value}: not told apart from chance ({other}).",
    },
    "overlap": {
        "above": "Accuracy: above merely counting characters shared with the question ({other}).",
        "below": "Accuracy: below merely counting characters shared with the question ({other}).",
        "same": "Accuracy: not told apart from merely counting characters shared with the question"
        " ({other}).",
    },
    "smallest_shown": "Smallest differences that this test set shows (four times in five, if they"
    " are so large): {sizes}.",
    "small": "This is a small test set ({groups} source documents). Smaller differences than these"
    " may be there and not show: {sizes}.",
    "large": "Smaller differences than these may be there and not show: {sizes}.",
    "few_groups": "Fewer than {most} source documents: the intervals may be narrower than they"
    " should ({metrics}).",
    "unknown_share": "Bytes of the gold answers unknown to the tokenizer (<unk>): {share}.",
    "unknown_bytes": "{share} of the gold answers' bytes are unknown to the tokenizer (<unk>): bits"
    " per byte do not compare with a model of another tokenizer.",
    "excluded": "Questions without suitable distractors, left out of accuracy: {count}.",
    "rechosen": "Questions whose stored distractors were missing and chosen anew: {count}.",
    "questions_cut": "Questions longer than the model's context, put without their head: {count}.",
    "not_numbers": "{count} of the models' log-likelihoods are not numbers (NaN): a model is"
    " damaged, or its precision too low. Do not trust the figures of this report.",
    "prompts_cut": "Prompts too long for the model's context, put without their head: {count}.",
    "missing": "Questions without an answer, scored as empty: {count}.",
    "unknown_ids": "Answers to ids that the data lacks, left out: {count}.",
    "answers_cut": "Answers too long, scored without their tail: {count}.",
    "nothing_to_know": "Questions whose gold answer has nothing to compare (what the question has"
    " is taken out), left out of a figure: {counts}.",
    "counts_choices": "{n} multiple-choice questions from {groups} source documents. Intervals:"
    " {resamples} bootstraps by source.",
    "counts": "{n} questions from {groups} source documents, {generated} answered in full."
    " Intervals: {resamples} bootstraps by source.",
    "table_heading": "Figures",
    "table_note": "Difference = tuned − base. Intervals resample the questions of one source (an"
    " article, a decision) together. A difference is shown if its interval leaves out 0 and"
    " its p-value, corrected for the number of metrics (Holm), is at most 0.05.",
    "baselines": "To compare accuracy with: chance {chance}, counting characters shared with the"
    " question {overlap}.",
    "forest_heading": "Difference to the base",
    "worse_side": "← worse",
    "better_side": "better →",
    "by_type_heading": "By question type",
    "curve_heading": "Training curve",
    "curve_x": "optimiser step",
    "curve_y": "loss (nats per token)",
    "curve_loss": "training loss",
    "curve_validation_loss": "validation loss",
    "samples_heading": "Sample answers",
    "samples_note": "Taken from the question types in turn, whatever the answers say.",
    "question": "question",
    "empty_answer": "(empty answer)",
    "definitions_heading": "How each figure is defined",
    "definition": "definition",
    "range": "range",
    "source": "source",
    "signature": "signature",
    "run_heading": "What is needed to reproduce this",
    "run_note": "Only reports with equal signatures can be compared.",
    "files": "more: report.html · figures: evaluation_report.json · answers: predictions.jsonl",
}

LANGUAGES: Mapping[str, Mapping[str, Any]] = {
    "ko": KOREAN | page_texts.KOREAN,
    "en": ENGLISH | page_texts.ENGLISH,
}


def texts(lang: str, compared: bool = False) -> Mapping[str, Any]:
    """The table of a language; `compared`: for two models, A and B, instead of base and tuned.

    Raises:
        UserError: there is none.
    """
    if lang not in LANGUAGES:
        raise UserError(f"unknown report language {lang!r}; known: {', '.join(LANGUAGES)}")
    return LANGUAGES[lang] | compare_texts.LANGUAGES[lang] if compared else LANGUAGES[lang]
