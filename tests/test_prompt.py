"""Prompt templates: one per type, the same everywhere, saved with the model."""

import json

import pytest
import tiny

from lawtune.config import QUESTION_TYPES
from lawtune.errors import UserError
from lawtune.prompt import (
    INSTRUCTIONS,
    MARKER_ROLES,
    TEMPLATES_FILE,
    PromptTemplate,
    make_template,
    missing_markers,
)

CHAT = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}<|assistant|>"


@pytest.fixture(scope="module")
def tokenizer():
    return tiny.make_tokenizer()


def test_every_type_has_a_template_of_its_own(tokenizer):
    template = make_template("lawtune", tokenizer)
    prompts = [template.render("물음", kind) for kind in (None, *QUESTION_TYPES)]
    assert len(set(prompts)) == 6
    assert set(INSTRUCTIONS) == {"general", *QUESTION_TYPES} <= set(MARKER_ROLES)


def test_a_prompt_word_for_word(tokenizer):
    """Markers are <unused0> … <unused8> in the order of MARKER_ROLES."""
    template = make_template("lawtune", tokenizer)
    assert template.render("누가 책임집니까?", "law_application", "민법 제750조") == (
        "<unused3>다음 사안에 적용되는 법령 조항을 밝히시오.\n"
        "<unused6>참고: 민법 제750조\n"
        "<unused7>질문: 누가 책임집니까?\n"
        "<unused8>답변: "
    )
    assert "참고" not in template.render("누가?", "law_application", context="")


def test_every_marker_is_one_token(tokenizer):
    template = make_template("lawtune", tokenizer)
    assert missing_markers(template, tokenizer) == {}
    for token in template.markers.values():
        ids = tokenizer(token, add_special_tokens=False)["input_ids"]
        assert ids == [tokenizer.convert_tokens_to_ids(token)]
    assert len(set(template.markers.values())) == len(MARKER_ROLES)


def test_too_few_reserved_tokens_ask_for_new_rows():
    template = make_template("lawtune", tiny.make_tokenizer(reserved=len(MARKER_ROLES) - 1))
    missing = missing_markers(template, tiny.make_tokenizer(reserved=8))
    assert list(template.markers.values()) == [f"<|{role}|>" for role in MARKER_ROLES]
    assert missing == {f"<|{role}|>": text for role, text in MARKER_ROLES.items()}


def test_a_prompt_begins_with_bos_only_where_bos_is_not_eos(tokenizer):
    assert make_template("lawtune", tokenizer).prefix == ""  # KoGPT-2: BOS = EOS
    other = tiny.make_tokenizer()
    other.bos_token = "<s>"
    template = make_template("lawtune", other)
    assert template.render("물음").startswith("<s><unused0>")
    other.bos_token = None
    assert make_template("lawtune", other).prefix == ""


def test_an_unknown_type_lists_the_known_ones(tokenizer):
    with pytest.raises(UserError, match="unknown question type 'faq'; known: law_explanation"):
        make_template("lawtune", tokenizer).render("물음", "faq")


def test_chat_wraps_the_same_text_in_the_models_own_template(tokenizer):
    chatty = tiny.make_tokenizer()
    chatty.chat_template = CHAT
    for style in ("chat", "auto"):
        template = make_template(style, chatty)
        rendered = template.render("물음", "precedent_impact", "판결문", chatty)
        assert rendered == (
            f"<|user|>{INSTRUCTIONS['precedent_impact']}\n참고: 판결문\n질문: 물음<|assistant|>"
        )
        assert template.markers == {}
    assert make_template("lawtune", chatty).style == "lawtune"
    assert make_template("auto", tokenizer).style == "lawtune"
    with pytest.raises(UserError, match="no chat template"):
        make_template("chat", tokenizer)


def test_save_and_load(tmp_path, tokenizer):
    template = PromptTemplate(
        prefix="<s>",
        markers={"answer": "<답>"},
        instructions=dict.fromkeys(INSTRUCTIONS, "답하라."),
    )
    template.save(tmp_path)
    loaded = PromptTemplate.load(tmp_path)
    assert loaded == template
    assert loaded.render("물음") == "<s>답하라.\n질문: 물음\n<답>답변: "


@pytest.mark.parametrize("key", ["style", "prefix", "markers", "instructions"])
def test_a_file_that_lacks_a_key(tmp_path, key):
    PromptTemplate().save(tmp_path)
    path = tmp_path / TEMPLATES_FILE
    value = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({k: v for k, v in value.items() if k != key}), encoding="utf-8")
    with pytest.raises(UserError, match=f"no '{key}' in it"):
        PromptTemplate.load(tmp_path)


def test_other_broken_files(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        PromptTemplate.load(tmp_path)
    path = tmp_path / TEMPLATES_FILE
    path.write_text("[]")
    with pytest.raises(UserError, match="expected a JSON object"):
        PromptTemplate.load(tmp_path)
    PromptTemplate(instructions={"general": "답하라."}).save(tmp_path)
    with pytest.raises(UserError, match="no 'law_explanation' in it"):
        PromptTemplate.load(tmp_path)
