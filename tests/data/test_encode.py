"""Windows of tokens: what is learnt, what is cut, what is dropped."""

import pytest
import tiny
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from lawtune.data.encode import MIN_PROMPT_TOKENS, encode_pairs, encode_text, unknown_bytes
from lawtune.prompt import make_template
from lawtune.records import QAPair

QUESTION = "임대인은 언제 계약의 갱신을 거절할 수 있습니까? " * 2
ANSWER = "정당한 사유 없이 거절하지 못한다."


@pytest.fixture(scope="module")
def tokenizer():
    return tiny.make_tokenizer(merges=0)


@pytest.fixture(scope="module")
def template(tokenizer):
    return make_template("lawtune", tokenizer)


def encode(tokenizer, template, max_length, answer=ANSWER):
    pair = QAPair(QUESTION, answer, id="p")
    prompt = encode_text(tokenizer, template.render(QUESTION))
    return *encode_pairs([pair], template, tokenizer, max_length), prompt


def test_the_answer_and_eos_are_learnt_and_nothing_else(tokenizer, template):
    (window,), report, prompt = encode(tokenizer, template, 10_000)
    learnt = window.ids[window.target_start :]
    assert list(window.ids[: window.target_start]) == prompt
    assert learnt[-1] == tokenizer.eos_token_id
    assert tokenizer.decode(learnt[:-1]) == ANSWER
    assert tokenizer.eos_token_id not in window.ids[:-1]
    assert window.targets == len(ANSWER.encode()) + 1  # every byte is a token here
    assert (report.kept, report.prompt_cut, report.answer_cut) == (1, [], [])


def test_exactly_full_is_not_cut(tokenizer, template):
    (whole,), _, _ = encode(tokenizer, template, 10_000)
    (window,), report, _ = encode(tokenizer, template, len(whole.ids))
    assert window == whole
    assert report.prompt_cut == []


def test_the_prompt_loses_its_head_first(tokenizer, template):
    (whole,), _, prompt = encode(tokenizer, template, 10_000)
    (window,), report, _ = encode(tokenizer, template, len(whole.ids) - 40)
    assert len(window.ids) == len(whole.ids) - 40
    assert list(window.ids[: window.target_start]) == prompt[40:]
    assert window.ids[window.target_start :] == whole.ids[whole.target_start :]
    assert (report.prompt_cut, report.answer_cut) == (["p"], [])


def test_a_cut_answer_does_not_end_in_eos(tokenizer, template):
    (window,), report, prompt = encode(tokenizer, template, MIN_PROMPT_TOKENS + 10)
    assert list(window.ids[: window.target_start]) == prompt[-MIN_PROMPT_TOKENS:]
    assert window.targets == 10
    assert tokenizer.eos_token_id not in window.ids
    assert list(window.ids[window.target_start :]) == encode_text(tokenizer, ANSWER)[:10]
    assert (report.prompt_cut, report.answer_cut) == (["p"], ["p"])


@pytest.mark.parametrize("max_length", range(1, 80))
def test_no_window_is_longer_than_allowed_or_without_a_target(tokenizer, template, max_length):
    windows, report, _ = encode(tokenizer, template, max_length, answer="그렇다.")
    assert report.kept == len(windows)
    assert len(windows) + len(report.dropped_empty) == 1
    for window in windows:
        assert len(window.ids) <= max_length
        assert window.targets >= 1
        assert window.target_start >= 1


def test_an_answer_without_a_token_is_dropped_and_named(tokenizer, template):
    pairs = [QAPair("가", "", id="empty"), QAPair("가", "나", id="sound")]
    windows, report = encode_pairs(pairs, template, tokenizer, 512)
    assert [window.name for window in windows] == ["sound"]
    assert (report.kept, report.dropped_empty) == (1, ["empty"])


def test_control_tokens_that_data_spell_are_words(tokenizer, template):
    """An EOS in mid-answer would teach to stop there; a marker in a question would forge one."""
    control = {tokenizer.convert_tokens_to_ids(t) for t in tokenizer.all_special_tokens}
    control |= {tokenizer.convert_tokens_to_ids(t) for t in template.markers.values()}
    eos, marker = tokenizer.eos_token, template.markers["answer"]
    plain = QAPair("질문이다", "답이다", context="글이다")
    forged = QAPair(f"질문{eos}{marker}이다", f"답{eos}이{marker}다", context=f"글{marker}이다")
    (expected,), _ = encode_pairs([plain], template, tokenizer, 400)
    (found,), _ = encode_pairs([forged], template, tokenizer, 400)
    assert [i for i in found.ids if i in control] == [i for i in expected.ids if i in control]
    text = tokenizer.decode(found.ids[found.target_start :], skip_special_tokens=True)
    assert text == f"답{eos[0]} {eos[1:]}이{marker[0]} {marker[1:]}다"


def test_no_special_token_is_added(tokenizer):
    assert tokenizer.decode(encode_text(tokenizer, "민법")) == "민법"
    assert len(encode_text(tokenizer, "민법")) == len("민법".encode())


def test_bytes_under_unk_by_hand(tokenizer):
    known = {"<unk>": 0, "손": 1, "해": 2, "a": 3}
    words = Tokenizer(models.BPE(vocab=known, merges=[], unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    lossy = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>")
    # 뷁 and 쀍 are three bytes each, é two; the space is under no token at all.
    assert unknown_bytes(lossy, "손해뷁 a쀍é") == 3 + 3 + 2
    assert unknown_bytes(lossy, "손해 a") == 0
    assert unknown_bytes(tokenizer, "손해뷁 a쀍é") == 0  # bytes are tokens there
