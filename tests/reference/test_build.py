import torch
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText, AutoProcessor, LlavaForConditionalGeneration, LlavaProcessor

from headatlas.reference.build import Shape, words
from headatlas.scenes.build import symbolic
from headatlas.vlm.chat import conversation, messages, render


def test_loads_with_plain_auto_classes(exported, trained):
    model = AutoModelForImageTextToText.from_pretrained(exported)
    processor = AutoProcessor.from_pretrained(exported)
    assert type(model) is LlavaForConditionalGeneration
    assert type(processor) is LlavaProcessor
    assert model.dtype == torch.float32
    assert {t.dtype for t in load_file(exported / "model.safetensors").values()} == {torch.float16}
    ours = dict(trained.model.named_parameters())
    for name, value in model.named_parameters():
        torch.testing.assert_close(value, ours[name].half().float(), rtol=0, atol=0)
    assert model.generation_config.eos_token_id == processor.tokenizer.convert_tokens_to_ids("<|end|>")


def test_loaded_processor_gives_one_image_token_a_cell_and_generates(exported):
    model = AutoModelForImageTextToText.from_pretrained(exported)
    processor = AutoProcessor.from_pretrained(exported)
    question = next(symbolic(1, "E", 3)).rendered()
    chat = conversation(question, upto=0)
    text = render(processor, [messages(chat)], True)[0]
    made = processor(text=[text], images=[list(chat.images)], return_tensors="pt")
    assert int((made["input_ids"] == model.config.image_token_id).sum()) == 36
    assert made["pixel_values"].shape == (1, 3, 144, 144)
    out = model.generate(**made, max_new_tokens=2)
    assert out.shape[1] > made["input_ids"].shape[1]


def test_every_step_is_a_strict_token_prefix(processor, tokenizer):
    for made in symbolic(6, "train", 4):
        chat = conversation(made.question)
        whole = tokenizer(render(processor, [messages(chat)], False)[0])["input_ids"]
        for turn in range(len(chat.turns)):
            prompt = tokenizer(render(processor, [messages(chat, turn + 1, open_last=True)], True)[0])["input_ids"]
            assert len(prompt) < len(whole)
            assert whole[: len(prompt)] == prompt


def test_a_word_is_one_token_wherever_it_stands(tokenizer):
    red = tokenizer("red")["input_ids"]
    assert len(red) == 1
    ids = tokenizer("<|user|>Red dog, red?\nred<|assistant|>red<|end|>")["input_ids"]
    assert ids.count(red[0]) == 4
    assert tokenizer.unk_token_id not in ids


def test_unknown_words_keep_their_bytes(tokenizer):
    said = "zebra über 9"
    assert tokenizer.decode(tokenizer(said)["input_ids"]).split() == said.split()


def test_words_splits_as_the_tokenizer_does():
    assert words(["Red dogs: 12?", "red"]) == ("1", "2", ":", "?", "dogs", "red")


def test_weights_depend_on_the_seed_alone(llava, tokenizer):
    shape = Shape(vision_width=16, vision_layers=1, vision_heads=2, width=16, layers=1, heads=2, mlp=16)
    torch.manual_seed(0)
    first = llava.model(tokenizer, shape, 1).state_dict()
    torch.manual_seed(5)
    second = llava.model(tokenizer, shape, 1).state_dict()
    other = llava.model(tokenizer, shape, 2).state_dict()
    name = "model.language_model.layers.0.mlp.up_proj.weight"
    torch.testing.assert_close(first[name], second[name], rtol=0, atol=0)
    assert not torch.equal(first[name], other[name])


def test_without_an_image_the_template_writes_none(processor):
    text = render(processor, [[{"role": "user", "content": [{"type": "text", "text": "so?"}]}]], True)[0]
    assert text == "<|user|>so?<|assistant|>"
