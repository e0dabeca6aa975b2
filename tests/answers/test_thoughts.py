import pytest

from headatlas.answers import parse, without_thoughts

NOTATIONS = [
    "<think>{}</think>{}",
    "<THINK>{}</THINK>\n\n{}",
    "< think >{}</ think >{}",
    '<think budget="3">{}</think>{}',
    "<thinking>{}</thinking>{}",
    "<thought>{}</thought>{}",
    "<thoughts>{}</thoughts>{}",
    "<reasoning>{}</reasoning>{}",
    "<REASONING>{}</REASONING>{}",
    "<reflection>{}</reflection>{}",
    "<scratchpad>{}</scratchpad>{}",
    "<seed:think>{}</seed:think>{}",
    "<longcat_think>{}</longcat_think>{}",
    "<ant_thinking>{}</ant_thinking>{}",
    "<thinking_process>{}</thinking_process>{}",
    "[THINK]{}[/THINK]{}",
    "[thinking]{}[/thinking]{}",
    "\u25c1think\u25b7{}\u25c1/think\u25b7{}",
    "\uff1cthink\uff1e{}\uff1c/think\uff1e{}",
    "&lt;think&gt;{}&lt;/think&gt;{}",
    "<|begin_of_thought|>{}<|end_of_thought|>{}",
    "<|START_THINKING|>{}<|END_THINKING|><|START_RESPONSE|>{}<|END_RESPONSE|>",
    "<|thought_begin|>{}<|thought_end|>{}",
    "<|inner_prefix|>{}<|inner_suffix|>{}",
    "<|channel>thought\n{}<channel|>{}",
    "<unused94>thought\n{}<unused95>{}",
    '<details type="reasoning"><summary>Thought</summary>{}</details>{}',
    "Here is my thought process: {} Here is my response: {}",
    "<|channel|>analysis<|message|>{}<|end|><|start|>assistant<|channel|>final<|message|>{}<|return|>",
    "<|channel|>analysis<|message|>{}<|end|><|start|>assistant<|channel|>final <|constrain|>json<|message|>{}",
    "analysis{}assistantfinal{}",
]


@pytest.mark.parametrize("notation", NOTATIONS)
def test_the_thought_is_not_the_answer(notation):
    assert (
        parse(notation.format("It could be left. The answer is left", "right"), "choice", ("left", "right")) == "right"
    )
    record = without_thoughts(notation.format('Maybe {"verdict": "draft"}? ', '{"verdict": "final"}'))
    assert '{"verdict": "final"}' in record
    assert "draft" not in record


@pytest.mark.parametrize("notation", NOTATIONS)
def test_a_thought_that_was_cut_off_is_no_answer(notation):
    whole = notation.format("It could be left. The answer is left", "\0")
    cut = whole[: whole.index("is left") + len("is left")]
    assert without_thoughts(cut) is None
    assert parse(cut, "choice", ("left", "right")) is None


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("right", "right"),
        ("", ""),
        ("It is left.</think>right", "right"),  # the opening tag stood in the prompt
        ("It is left.[/THINK] right", "right"),
        ("<think></think>right", "right"),
        ("<think>\n\n</think>\n\nright", "right"),
        ("<think/>right", "right"),
        ("<think>a <think> b</think> c</think>right", "right"),
        ("<think>a</think>left?<think>b</think>right", "right"),
        ("<monologue>left</monologue>right", "right"),
        ("<reasoning_content>left</reasoning_content>right", "right"),
        ("<plan>left", None),
        ("<details><summary>Thoughts</summary>left</details>right", "right"),
        ("<details><summary>My reasoning</summary>left", None),
        ("```thinking\nleft\n```\nright", "right"),
        ("```thinking\nleft", None),
        ("```json\n{}\n```", "```json\n{}\n```"),
        ("<|im_start|>think\nleft<|im_end|><|im_start|>answer\nright", "right"),
        ("<\u601d\u8003>left</\u601d\u8003>right", "right"),
        ("right<think>sure</think>", "right"),
        ("<answer>right</answer><reasoning>not left</reasoning>", "<answer>right</answer>"),
        ("<think>a</think>", None),
        ("<think>a</think><|im_end|>", None),
        ("left <think>wait", None),
        ("<think>", None),
        ("<|channel|>analysis<|message|>left<|end|>", None),
        ("<|channel|>commentary<|message|>left<|end|>", None),
        ("<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>", None),
        ("<|channel|>final<|message|>right<|return|>", "right"),
        ("Analysis shows that it is left.", "Analysis shows that it is left."),
        ("See the [analysis](x) and ['reason']: left", "See the [analysis](x) and ['reason']: left"),
        ("I think it is left", "I think it is left"),
        ("a < think and b > c", "a < think and b > c"),
    ],
)
def test_what_is_left_of_a_reply(reply, expected):
    assert without_thoughts(reply) == expected
