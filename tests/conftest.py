"""Session fixtures shared by all rooms' tests: a tiny VLM of a real family, and a handful of hand-made
questions.

The model is a real `LlavaForConditionalGeneration` with CLIP tower, processor, tokenizer and chat template, written to
a temporary folder and loaded by the real `load_vlm`. Half a second of training lets it answer some.
d_head is not hidden_size / heads and heads are grouped (GQA), so that code which computes either from the other fails
here.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image, ImageDraw

torch.set_num_threads(1)

CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>\n{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SENTENCES = [
    "Is the red car left of the blue arrow? Answer yes or no.",
    "What colour is the car? red green blue yellow white black",
    "Which column is the arrow in? left middle right top bottom centre",
    "How many circles are above the square? 0 1 2 3 4 5 6 7 8 9",
    "Which things does the question name? car and arrow",
    "So what is the answer? yes no left right above below nearer farther",
]


def write_tiny_vlm(folder: Path, questions, seed: int = 0) -> Path:
    """Write a Llava (2 layers x 4 heads, d_head 6, 2 key heads, 4 image tokens) with its processor to
    `folder`."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import (
        CLIPImageProcessor,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
        PreTrainedTokenizerFast,
    )

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    special = ["<pad>", "<image>", "<|user|>", "<|assistant|>", "<|end|>"]
    bpe.train_from_iterator(
        SENTENCES,
        trainers.BpeTrainer(
            vocab_size=360, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
        ),
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token="<pad>",
        eos_token="<|end|>",
        additional_special_tokens=["<image>", "<|user|>", "<|assistant|>"],
    )
    size = {"height": 32, "width": 32}
    processor = LlavaProcessor(
        image_processor=CLIPImageProcessor(size=size, crop_size=size, do_center_crop=False),
        tokenizer=tokenizer,
        patch_size=16,
        vision_feature_select_strategy="default",
        image_token="<image>",
        num_additional_image_tokens=1,
        chat_template=CHAT_TEMPLATE,
    )
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=32,
            patch_size=16,
            projection_dim=16,
        ),
        text_config=LlamaConfig(
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=6,
            vocab_size=len(tokenizer),
            max_position_embeddings=512,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
            bos_token_id=None,
        ),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-1,
        vision_feature_select_strategy="default",
    )
    torch.manual_seed(seed)
    model = LlavaForConditionalGeneration(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:  # far from 0, so that heads, images and positions matter to the answer
                parameter.mul_(4)
    _teach(model, processor, questions)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def _teach(model, processor, questions) -> None:
    """A few gradient steps on the gold answers: enough for some to be right, too few for all."""
    chats = []
    for question in questions:
        chat = []
        for i, step in enumerate(question.steps):
            text = f"{question.text}\n{step.text}" if i == 0 else step.text
            image = [{"type": "image"}] if i == 0 else []
            chat.append({"role": "user", "content": [*image, {"type": "text", "text": text}]})
            chat.append({"role": "assistant", "content": [{"type": "text", "text": step.answer}]})
        chats.append(chat)
    inputs = processor(
        text=processor.apply_chat_template(chats, tokenize=False),
        images=[list(question.images) for question in questions],
        return_tensors="pt",
        padding=True,
    )
    assistant, end = processor.tokenizer.convert_tokens_to_ids(["<|assistant|>", "<|end|>"])
    labels = torch.full_like(inputs["input_ids"], -100)
    for row, ids in enumerate(inputs["input_ids"].tolist()):
        answering = False
        for at, token in enumerate(ids):
            if answering:
                labels[row, at] = token
            answering = token == assistant or (answering and token != end)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    model.train()
    for _ in range(32):
        model(**inputs, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()


@pytest.fixture(scope="session")
def tiny_vlm_dir(tmp_path_factory, tiny_questions) -> Path:
    """A folder that `load_vlm`, `AutoModelForImageTextToText` and `AutoProcessor` can read."""
    return write_tiny_vlm(tmp_path_factory.mktemp("tiny-vlm"), tiny_questions)


@pytest.fixture(scope="session")
def tiny_vlm(tiny_vlm_dir):
    """The tiny VLM, loaded on the CPU in float32. Shared by the session: leave no edit on it."""
    from headatlas.vlm import load_vlm

    return load_vlm(str(tiny_vlm_dir), device="cpu")


def _picture(left: str, right: str) -> Image.Image:
    image = Image.new("RGB", (48, 48), "white")
    draw = ImageDraw.Draw(image)
    draw.rectangle((4, 14, 18, 30), fill=left)
    draw.ellipse((28, 14, 44, 30), fill=right)
    return image


@pytest.fixture(scope="session")
def tiny_questions():
    """The questions of `make_questions`, the same objects for the whole session."""
    return make_questions()


def make_questions():
    """Eight questions of 3 to 4 steps on drawn images, two per split (P, S, T, E), all eight functions among their
    steps."""
    from headatlas.cogvsr.schema import Question, Step

    colors = ["red", "blue", "green", "black", "yellow", "white", "red", "green"]
    questions = []
    for i, color in enumerate(colors):
        other = colors[(i + 1) % len(colors)]
        yes = i % 2 == 0
        steps = [
            Step(
                text="Which things does the question name?",
                answer="car and arrow",
                answer_type="text",
                functions=("information_extraction",),
                kind="names",
                needs_image=False,
            ),
            Step(
                text="What colour is the car?",
                answer=color,
                answer_type="choice",
                options=tuple(sorted(set(colors))),
                functions=("low_level_perception", "high_level_perception"),
                kind="color",
            ),
            Step(
                text="Which column is the arrow in?",
                answer="left" if yes else "right",
                answer_type="choice",
                options=("left", "middle", "right"),
                functions=("spatial_perception",),
                kind="column",
            ),
            Step(
                text="How many cars and arrows are there in all, and what is one more?",
                answer=str(2 + i % 3),
                answer_type="number",
                functions=("math_reasoning", "knowledge_recall"),
                kind="count",
            ),
            Step(
                text="So what is the answer?",
                answer="yes" if yes else "no",
                answer_type="yes_no",
                functions=("decision_making", "relational_reasoning"),
                kind="decide",
            ),
        ]
        if i % 3 == 0:  # ragged: some questions have fewer steps and longer texts than others
            del steps[3]
        if i % 4 == 1:
            del steps[0]
        questions.append(
            Question(
                id=f"q{i}",
                source="hand",
                split=("P", "S", "T", "E")[i // 2],
                family="left_of",
                scene=f"scene{i}",
                images=(_picture(color, other),),
                text=f"Is the {color} car left of the {other} arrow?" + " Answer yes or no." * (i % 3),
                answer="yes" if yes else "no",
                answer_type="yes_no",
                steps=tuple(steps),
            )
        )
    return questions


@pytest.fixture(scope="session")
def s3():
    """The address of a bucket, served on this machine."""
    from object_store import s3_bucket

    with s3_bucket() as address:
        yield address


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of HeadAtlas."""
    monkeypatch.setenv("HEADATLAS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"
