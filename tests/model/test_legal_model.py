"""LegalModel against computations that do not share its code: transformers' own generate, and
log_softmax over whole logits."""

import json
import random
import shutil
from pathlib import Path

import pytest
import tiny
import torch
from transformers import AutoModelForCausalLM

from lawtune.cli import main
from lawtune.config import AnswerConfig
from lawtune.data.encode import encode_text
from lawtune.errors import UserError
from lawtune.model import decode, likelihood
from lawtune.model.legal_model import LegalModel
from lawtune.model.load import load_base
from lawtune.model.manifest import write_manifest

SHORT = AnswerConfig(max_new_tokens=24)
PROMPTS = ["질문: 손해배상", "임대인은", "사용자는 근로자에게 무엇을 주어야 하는가? 답변: ", "a"]


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LegalModel:
    """An adapter on `lm_head` and attention, loaded from its folder."""
    base = request.getfixturevalue(f"{request.param}_base")
    targets = ("lm_head", "c_attn" if request.param == "gpt2" else "q_proj")
    folder = tmp_path_factory.mktemp(request.param) / "adapter"
    return LegalModel.load(tiny.save_adapter_folder(folder, base, targets), device="cpu")


def reference(model: LegalModel, prompt: str, answer: str) -> float:
    """Σ log p by log_softmax over the whole model's logits."""
    before, after = (encode_text(model.tokenizer, text) for text in (prompt, answer))
    with torch.no_grad():
        logits = model.model(torch.tensor([before + after])).logits[0].double()
    chances = logits.log_softmax(dim=-1)
    places = range(len(before), len(before) + len(after))
    return sum(float(chances[p - 1, (before + after)[p]]) for p in places)


def test_it_knows_where_its_parts_lie(model: LegalModel):
    base = model.model.peft_config["default"].base_model_name_or_path
    assert model.folders == {"adapter": Path(model.name), "base": Path(base)}
    assert LegalModel.load(base).folders == {"base": Path(base)}


def test_an_adapter_that_peft_alone_has_saved(gpt2_base: Path, tmp_path: Path):
    base = AutoModelForCausalLM.from_pretrained(gpt2_base)
    adapted = tiny.randomise(tiny.with_lora(base, ["c_attn"]))
    adapted.save_pretrained(tmp_path)
    assert not (tmp_path / "tokenizer.json").exists()
    loaded = LegalModel.load(tmp_path)
    ids = torch.tensor([encode_text(loaded.tokenizer, PROMPTS[0])])
    with torch.no_grad():
        assert torch.equal(loaded.model(ids).logits, adapted.eval()(ids).logits)


def test_an_adapter_that_another_user_has_made(
    gpt2_base: Path, tmp_path: Path, another_users: Path
):
    adapted = tiny.with_lora(AutoModelForCausalLM.from_pretrained(gpt2_base), ["c_attn"])
    adapted.peft_config["default"].base_model_name_or_path = str(another_users / "base")
    adapted.save_pretrained(tmp_path / "adapter")
    with pytest.raises(UserError, match="its base is missing: .* give it with --base"):
        LegalModel.load(tmp_path / "adapter")
    shutil.copytree(gpt2_base, tmp_path / "base")
    assert LegalModel.load(tmp_path / "adapter").folders["base"] == tmp_path / "base"


def test_a_tree_of_models_may_move(gpt2_base: Path, tmp_path: Path):
    base = shutil.copytree(gpt2_base, tmp_path / "runs" / "base")
    adapter = tiny.save_adapter_folder(tmp_path / "runs" / "adapter", base, ("lm_head",))
    before = LegalModel.load(adapter).log_likelihood(PROMPTS[0], "가")
    (tmp_path / "runs").rename(tmp_path / "elsewhere")
    moved = LegalModel.load(tmp_path / "elsewhere" / "adapter")
    assert moved.log_likelihood(PROMPTS[0], "가") == before
    (tmp_path / "elsewhere" / "base").rename(tmp_path / "gone")
    with pytest.raises(UserError, match="beside the adapter"):
        LegalModel.load(tmp_path / "elsewhere" / "adapter")


class TestLikelihood:
    def test_against_log_softmax(self, model: LegalModel):
        for prompt in PROMPTS:
            found = model.log_likelihood(prompt, tiny.SENTENCES[1])
            assert isinstance(found, float)
            assert found == pytest.approx(reference(model, prompt, tiny.SENTENCES[1]), rel=1e-6)

    @pytest.mark.parametrize("batch_tokens", [1, 100, 10_000])
    def test_batches_equal_one_by_one(self, model: LegalModel, batch_tokens: int):
        pairs = [(p, a) for p in PROMPTS for a in ("가", "", *tiny.SENTENCES)]
        prompts, answers = zip(*pairs, strict=True)
        batched = model.log_likelihoods(prompts, answers, batch_tokens)
        single = [model.log_likelihood(*pair) for pair in pairs]
        assert batched == pytest.approx(single, rel=1e-5)
        assert batched[1] == 0.0

    @pytest.mark.parametrize("batch_tokens", [1, 60, 10_000])
    def test_a_prompt_is_read_once_for_all_its_answers(self, model: LegalModel, batch_tokens: int):
        prompts = [*PROMPTS, PROMPTS[2] + "위법행위로"]
        pairs = [(p, a) for p in prompts for a in ("가", "위법한 행위", tiny.SENTENCES[3])]
        read: list[int] = []
        trunk = model.model.get_base_model().base_model
        hook = trunk.register_forward_pre_hook(
            lambda _, args, given: read.append(given["input_ids"].numel()), with_kwargs=True
        )
        try:
            found = model.log_likelihoods(*zip(*pairs, strict=True), batch_tokens)
        finally:
            hook.remove()
        expected = [reference(model, *pair) for pair in pairs]
        assert found == pytest.approx(expected, rel=1e-6)
        if batch_tokens == 1:  # One row at a time is never padded: every token is read once.
            lengths = {text: len(encode_text(model.tokenizer, text)) for p in pairs for text in p}
            # "a" is one token, after which an answer begins: nothing precedes it to be shared.
            once = sum(lengths[prompt] - 1 for prompt in prompts)
            assert lengths["a"] == 1 and sum(read) == once + sum(lengths[a] for _, a in pairs)

    def test_the_adapter_is_in_it_and_can_be_taken_out(self, model: LegalModel):
        base = LegalModel.load(model.model.peft_config["default"].base_model_name_or_path)
        assert model.has_adapter and not base.has_adapter
        pair = ("질문", tiny.SENTENCES[0])
        tuned, plain = model.log_likelihood(*pair), base.log_likelihood(*pair)
        with model.base_only():
            assert model.log_likelihood(*pair) == plain
        assert model.log_likelihood(*pair) == tuned and abs(plain - tuned) > 0.1
        with base.base_only():
            assert base.log_likelihood(*pair) == plain

    def test_a_long_prompt_loses_its_head(self, model: LegalModel):
        answer = tiny.SENTENCES[2]
        ids = encode_text(model.tokenizer, answer)
        prompt = "가" * 500
        kept = encode_text(model.tokenizer, prompt)[-(128 - len(ids)) :]
        with torch.no_grad():
            logits = model.model(torch.tensor([kept + ids])).logits[0].double().log_softmax(-1)
        expected = sum(float(logits[len(kept) - 1 + i, token]) for i, token in enumerate(ids))
        assert model.log_likelihood(prompt, answer) == pytest.approx(expected, rel=1e-6)

    def test_an_answer_longer_than_the_context_is_scored_whole(self, model: LegalModel):
        answer = "".join(tiny.SENTENCES) * 2
        ids = encode_text(model.tokenizer, answer)
        prompt = encode_text(model.tokenizer, "질문")
        assert len(ids) > 128
        expected, done = 0.0, 0
        while done < len(ids):  # windows of 64, each after the 64 tokens before it
            context, part = (prompt + ids[:done])[-64:], ids[done : done + 64]
            with torch.no_grad():
                logits = model.model(torch.tensor([context + part])).logits[0].double()
            chances = logits.log_softmax(-1)
            expected += sum(float(chances[len(context) - 1 + i, t]) for i, t in enumerate(part))
            done += 64
        assert model.log_likelihood("질문", answer) == pytest.approx(expected, rel=1e-6)

    def test_an_empty_prompt_starts_from_the_first_token(self, model: LegalModel):
        found = model.log_likelihood("", "답변")
        assert found == pytest.approx(reference(model, "</s>", "답변"), rel=1e-6)

    def test_the_whole_logits_are_never_held(
        self, model: LegalModel, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(likelihood, "PROJECTED_ROWS", 7)
        head = model.model.get_base_model().get_output_embeddings()
        seen: list[int] = []
        hook = head.register_forward_hook(lambda *args: seen.append(args[2].shape[:-1].numel()))
        try:
            found = model.log_likelihoods(PROMPTS, [tiny.SENTENCES[0]] * 4)
        finally:
            hook.remove()
        answer = len(encode_text(model.tokenizer, tiny.SENTENCES[0]))
        assert max(seen) <= 7 and sum(seen) == 4 * answer
        assert found[0] == pytest.approx(reference(model, PROMPTS[0], tiny.SENTENCES[0]), rel=1e-6)

    def test_a_model_that_changes_its_logits_at_the_end_runs_whole(self):
        # Gemma-2 caps its logits after the projection: trunk + head alone would be wrong.
        from transformers import Gemma2Config, Gemma2ForCausalLM

        tokenizer = tiny.make_tokenizer()
        torch.manual_seed(0)
        config = Gemma2Config(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=16,
            initializer_range=0.5,
            final_logit_softcapping=3.0,
        )
        plain = Gemma2ForCausalLM(config).eval()
        from lawtune.prompt import make_template

        model = LegalModel(plain, tokenizer, make_template("lawtune", tokenizer), "gemma")
        found = model.log_likelihood("질문", "답변")
        assert found == pytest.approx(reference(model, "질문", "답변"), rel=1e-6)


class TestGeneration:
    def test_equals_transformers_generate(self, model: LegalModel):
        ours = model.generate(PROMPTS, 24, batch_size=3)
        for prompt, made in zip(PROMPTS, ours, strict=True):
            ids = torch.tensor([encode_text(model.tokenizer, prompt)])
            whole = model.model.get_base_model()
            theirs = whole.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                do_sample=False,
                max_new_tokens=24,
                eos_token_id=model.tokenizer.eos_token_id,
                pad_token_id=model.tokenizer.pad_token_id,
            )[0, ids.shape[1] :]
            expected = model.tokenizer.decode(theirs, skip_special_tokens=True)
            assert made.text == expected
            assert made.stopped == (model.tokenizer.eos_token_id in theirs)

    def test_a_batch_is_its_rows_one_by_one(self, model: LegalModel):
        assert model.generate(PROMPTS, 24, 4) == model.generate(PROMPTS, 24, 1)

    def test_a_batch_shrinks_where_answers_may_grow_long(
        self, model: LegalModel, monkeypatch: pytest.MonkeyPatch
    ):
        free = model.generate(PROMPTS, 24, 4)
        monkeypatch.setattr(decode, "CACHED_TOKENS", 100)
        rows = []
        alone = decode.continue_prompts

        def watch(model, prompts: list[list[int]], *rest):
            rows.append((len(prompts), max(map(len, prompts))))
            return alone(model, prompts, *rest)

        monkeypatch.setattr(decode, "continue_prompts", watch)
        assert model.generate(PROMPTS, 24, 4) == free
        assert len(rows) > 1 and sum(count for count, _ in rows) == len(PROMPTS)
        assert all(count == 1 or count * (longest + 24) <= 100 for count, longest in rows)

    def test_rows_that_leave_at_different_times_disturb_no_other(self, model: LegalModel):
        prompts = [encode_text(model.tokenizer, text) for text in PROMPTS * 3]
        budgets = [7, 3, 12, 1, 9, 2, 5, 12, 4, 11, 6, 8]
        made: list[list[int]] = [[] for _ in prompts]
        sizes = []
        for step in decode.continue_prompts(
            model.model, prompts, budgets, frozenset(), decode.greedy
        ):
            sizes.append(len(step))
            for row, token in step:
                made[row].append(token)
        assert sizes == [sum(budget > step for budget in budgets) for step in range(12)]
        for prompt, budget, ours in zip(prompts, budgets, made, strict=True):
            ids = torch.tensor([prompt])
            theirs = model.model.get_base_model().generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                do_sample=False,
                max_new_tokens=budget,
                eos_token_id=None,
                pad_token_id=model.tokenizer.pad_token_id,
            )
            assert ours == theirs[0, len(prompt) :].tolist()

    def test_rows_stop_at_eos_and_leave_the_batch(
        self, model: LegalModel, monkeypatch: pytest.MonkeyPatch
    ):
        free = model.generate(PROMPTS, 12, 4)
        ids = encode_text(model.tokenizer, PROMPTS[0])
        # Whatever the first row writes at its fifth place becomes an end token.
        steps = decode.continue_prompts(model.model, [ids], [12], frozenset(), decode.greedy)
        made = [token for step in steps for _, token in step]
        monkeypatch.setattr(LegalModel, "_stop_ids", frozenset({made[4]}))
        cut = model.generate(PROMPTS, 12, 4)[0]
        assert cut.stopped and cut.tokens == made.index(made[4])
        assert free[0].text.startswith(cut.text) and not free[0].stopped
        assert free[0].tokens == 12

    def test_long_prompts_lose_their_heads_and_keep_half_the_context(self, model: LegalModel):
        prompt = "x" * 400
        tail = model.tokenizer.decode(encode_text(model.tokenizer, prompt)[-104:])
        assert encode_text(model.tokenizer, tail) == encode_text(model.tokenizer, prompt)[-104:]
        assert model.generate([prompt], 24, 1) == model.generate([tail], 24, 1)
        assert model.generate([prompt], 1000, 1)[0].tokens == 64

    def test_it_tells_what_a_prompt_will_lose(self, model: LegalModel):
        def tokens(text: str) -> int:
            return len(encode_text(model.tokenizer, text))

        prompt, answer = "x" * 100, "나" * 5
        assert model.overflow(prompt, ()) == 0
        assert model.overflow(prompt, [answer, "다"]) == 0
        assert model.overflow("x" * 128, [answer, "다"]) == tokens(answer)
        assert model.overflow(prompt, (), 24) == 0
        assert model.overflow(prompt, (), 40) == tokens(prompt) - (128 - 40)
        # Half of the context stays with the question however long the answer may get.
        assert model.overflow(prompt, (), 1000) == tokens(prompt) - 64

    def test_no_prompts(self, model: LegalModel):
        assert model.generate([], 5, 4) == [] and model.log_likelihoods([], []) == []


class TestAnswer:
    @pytest.mark.parametrize("seed", range(8))
    def test_the_stream_joined_is_the_answer(self, model: LegalModel, seed: int):
        config = AnswerConfig(max_new_tokens=40, temperature=2.0, top_p=0.99, seed=seed)
        answer = model.answer("손해배상 책임은?", "law_explanation", "제750조", config)
        pieces = list(model.stream("손해배상 책임은?", "law_explanation", "제750조", config))
        assert "".join(pieces) == answer and all(pieces)

    def test_greedy_is_generate_on_the_rendered_prompt(self, model: LegalModel):
        prompt = model.render("임대차란?", "law_explanation")
        assert "<unused1>" in prompt and prompt.endswith("답변: ")
        made = model.generate([prompt], 24, 1)[0]
        assert model.answer("임대차란?", "law_explanation", config=SHORT) == made.text

    def test_sampling_follows_its_seed_and_a_tiny_top_p_is_greedy(self, model: LegalModel):
        def draw(**options: float) -> str:
            return model.answer("질문", config=AnswerConfig(max_new_tokens=24, **options))

        assert draw(temperature=1.5, seed=1) == draw(temperature=1.5, seed=1)
        assert draw(temperature=1.5, seed=1) != draw(temperature=1.5, seed=2)
        assert draw(temperature=1.5, top_p=1e-6) == draw()

    def test_an_unknown_type_is_refused(self, model: LegalModel):
        with pytest.raises(UserError, match="unknown question type"):
            model.answer("질문", type="gossip")


class TestShownText:
    @pytest.mark.parametrize("merges", [0, 100])
    @pytest.mark.parametrize(
        "text",
        [
            "주민번호 900101-1234567, 전화 010-1234-5678로 연락",
            "주민번호 900101−1234567, 전화 010―1234―5678로 연락",
            "계좌 110-123-456789 입금. 메일 kim.law@example.co.kr 끝",
            "한글 漢字 😀 ①항\n제2조",
            "Call 010-9876-5432",
            "제７５０조, 주민번호 ９００１０１－１２３４５６７, 전화 ０１０－１２３４－５６７８로",
            "2019다12345 판결",
            "주민번호 900101ㅡ1234567, 012345-01-123456(가나다라마바사아자우체국)",
            "입금은 110-123-456789 (국민은행)으로 하십시오.",
            "110-123-456789(아주 긴 이름의 은행)과 110-123-456789 (가나다라마바사아자차은행)",
            "110-123-456789 (가나다라마바사아자차카은행) 110-123-456789 (국민",
        ],
    )
    def test_pieces_never_show_what_the_whole_masks(self, text: str, merges: int):
        from lawtune.data.privacy import mask

        tokenizer = tiny.make_tokenizer(merges=merges)
        pieces = list(decode.shown_text(encode_text(tokenizer, text), tokenizer.decode))
        assert "".join(pieces) == mask(text)[0]
        assert "\ufffd" not in "".join(pieces)

    def test_whatever_stands_beside_a_number(self):
        from lawtune.data.privacy import mask

        draw = random.Random(0)
        parts = ["110-123-456789", "900101-1234567", "010", "1234", "(", ")", " ", "-", ".", "@"]
        parts += ["국민은행", "계좌", "수협", "뱅", "크", "a", "com", "원", ",", "법인등록번호"]
        for _ in range(3000):
            text = "".join(draw.choices(parts, k=draw.randint(2, 9)))
            pieces = decode.shown_text(map(ord, text), lambda ids: "".join(map(chr, ids)))
            assert "".join(pieces) == mask(text)[0], text

    def test_it_does_stream(self):
        tokenizer = tiny.make_tokenizer()
        text = tiny.SENTENCES[1]
        assert len(list(decode.shown_text(encode_text(tokenizer, text), tokenizer.decode))) > 10


class TestLoad:
    def test_a_plain_folder_has_no_adapter_and_drops_missing_markers(self, tmp_path: Path):
        tokenizer = tiny.make_tokenizer(reserved=0)
        folder = tiny.save_base(tmp_path / "bare", tiny.make_gpt2(tokenizer), tokenizer)
        model = LegalModel.load(folder)
        assert not model.has_adapter and model.template.markers == {}
        assert "<|" not in model.render("질문")
        plain = AutoModelForCausalLM.from_pretrained(folder)
        ids = torch.tensor([[5, 6, 7]])
        assert torch.equal(model.model(ids).logits, plain(ids).logits)

    def test_by_its_name_in_the_manager(
        self, tmp_path: Path, gpt2_base: Path, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setenv("LAWTUNE_ROOT", str(tmp_path))
        tiny.save_adapter_folder(tmp_path / "mine" / "first", gpt2_base)
        model = LegalModel.load("mine/first")
        assert model.name == "mine/first" and model.has_adapter
        assert model.template.markers["general"] == "<unused0>"

    def test_a_base_that_has_moved(self, tmp_path: Path, gpt2_base: Path):
        folder = tiny.save_adapter_folder(tmp_path / "adapter", gpt2_base)
        config = json.loads((folder / "training_config.json").read_text())
        config["base"]["name"] = "/gone/away"
        (folder / "training_config.json").write_text(json.dumps(config))
        write_manifest(folder)
        with pytest.raises(UserError, match="its base is missing: .*/gone/away"):
            LegalModel.load(folder)
        assert LegalModel.load(folder, base=str(gpt2_base)).has_adapter
        words = ["ask", str(folder), "질문", "--max_new_tokens", "2"]
        assert main(words) == 2
        assert main([*words, "--base", str(gpt2_base)]) == 0

    def test_an_adapter_made_elsewhere(self, tmp_path: Path, gpt2_base: Path):
        from peft import LoraConfig, get_peft_model

        base = load_base(str(gpt2_base))
        plain = get_peft_model(
            base.model, LoraConfig(target_modules=["c_attn"], fan_in_fan_out=True)
        )
        plain.save_pretrained(tmp_path / "peft")
        base.tokenizer.save_pretrained(tmp_path / "peft")
        assert LegalModel.load(tmp_path / "peft").has_adapter

    def test_with_added_rows(self, tmp_path: Path):
        tokenizer = tiny.make_tokenizer(reserved=0)
        base = tiny.save_base(tmp_path / "bare", tiny.make_gpt2(tokenizer), tokenizer)
        model = LegalModel.load(tiny.save_adapter_folder(tmp_path / "adapter", base))
        ids = encode_text(model.tokenizer, model.render("질문"))
        assert len(tokenizer) in ids
        assert isinstance(model.answer("질문", config=SHORT), str)
