import pytest
import torch

from headatlas.errors import HeadAtlasError
from headatlas.vlm.batch import encode
from headatlas.vlm.chat import Conversation, Turn, conversation
from headatlas.vlm.forward import logits_at
from headatlas.vlm.generate import generate
from headatlas.vlm.read import by_length, in_batches, read, readouts_of


def bare_logits(vlm, batch):
    with torch.inference_mode():
        return vlm.model(**batch.inputs).logits


@pytest.mark.parametrize("side", ["left", "right"])
def test_one_row_is_the_same_row_in_a_ragged_batch(tiny_vlm, tiny_questions, side):
    chats = [conversation(question) for question in tiny_questions]
    batch = encode(tiny_vlm, chats, side=side)
    whole = logits_at(tiny_vlm, batch, batch.mask, range(len(chats)))
    for row, part in enumerate(whole.split(batch.mask.sum(1).tolist())):
        alone = bare_logits(tiny_vlm, encode(tiny_vlm, [chats[row]]))[0]
        torch.testing.assert_close(part, alone, atol=2e-5, rtol=1e-4)


def test_logits_are_those_of_the_whole_forward(tiny_vlm, tiny_questions):
    batch = encode(tiny_vlm, [conversation(question) for question in tiny_questions])
    mask = batch.predict_mask()
    want = bare_logits(tiny_vlm, batch)[mask]
    torch.testing.assert_close(logits_at(tiny_vlm, batch, mask, range(8)), want, atol=1e-5, rtol=1e-5)


def test_a_model_without_a_known_output_embedding_still_reads(tiny_vlm, tiny_questions, monkeypatch):
    batch = encode(tiny_vlm, [conversation(question) for question in tiny_questions])
    mask = batch.predict_mask()
    want = logits_at(tiny_vlm, batch, mask, range(8))
    monkeypatch.setattr(tiny_vlm.model, "get_output_embeddings", lambda: None)
    torch.testing.assert_close(logits_at(tiny_vlm, batch, mask, range(8)), want, atol=1e-5, rtol=1e-5)


def test_logprob_sums_the_gold_tokens(tiny_vlm, tiny_questions):
    chat = conversation(tiny_questions[0])
    batch = encode(tiny_vlm, [chat])
    logprobs = bare_logits(tiny_vlm, batch)[0].log_softmax(-1)
    for readout, (start, end) in zip(read(tiny_vlm, [chat])[0], batch.spans[0], strict=True):
        want = sum(float(logprobs[at - 1, batch.ids[0, at]]) for at in range(start, end))
        assert readout.logprob == pytest.approx(want, abs=1e-4)


def test_exact_iff_greedy_decoding_gives_the_gold_answer(tiny_vlm, tiny_questions):
    chats = [conversation(question) for question in tiny_questions]
    exact = [readout.exact for row in read(tiny_vlm, chats) for readout in row]
    steps = [(question, k) for question in tiny_questions for k in range(len(question.steps))]
    said = generate(tiny_vlm, [conversation(question, upto=k) for question, k in steps])
    gold = [question.steps[k].answer for question, k in steps]
    assert exact == [text == answer for text, answer in zip(said, gold, strict=True)]
    assert 5 < sum(exact) < len(exact)  # both cases occur


def test_text_is_the_gold_answer_where_exact(tiny_vlm, tiny_questions):
    for question, row in zip(tiny_questions, read(tiny_vlm, [conversation(q) for q in tiny_questions]), strict=True):
        for step, readout in zip(question.steps, row, strict=True):
            assert (readout.text == step.answer) or not readout.exact


def test_order_and_batch_size_do_not_matter(tiny_vlm, tiny_questions):
    chats = [conversation(question) for question in tiny_questions]
    done = []
    one = read(tiny_vlm, chats, batch_size=3, progress=lambda what, n, total: done.append(n))
    other = read(tiny_vlm, chats[::-1], batch_size=8)[::-1]
    assert done == [3, 6, 8]
    for a, b in zip(one, other, strict=True):
        assert [(r.text, r.exact) for r in a] == [(r.text, r.exact) for r in b]
        assert [r.logprob for r in a] == pytest.approx([r.logprob for r in b], abs=1e-4)


def test_batches_are_by_length_longest_first():
    chats = [Conversation((), (Turn("x" * n, "yes"),)) for n in (5, 50, 20, 50, 1)]
    assert by_length(chats, 2) == [[1, 3], [2, 0], [4]]


def test_rows_with_and_without_images_are_read_as_alone(tiny_vlm, tiny_questions):
    two = conversation(tiny_questions[0], images=(tiny_questions[0].images[0], tiny_questions[1].images[0]))
    chats = [conversation(q, images=() if i % 2 else None) for i, q in enumerate(tiny_questions[:4])] + [two]
    for together, chat in zip(read(tiny_vlm, chats), chats, strict=True):
        (alone,) = read(tiny_vlm, [chat])
        assert [r.text for r in together] == [r.text for r in alone]
        assert [r.logprob for r in together] == pytest.approx([r.logprob for r in alone], abs=1e-4)


def test_a_batch_shows_equally_many_images(tiny_questions):
    chats = [conversation(q, images=() if i % 2 else None) for i, q in enumerate(tiny_questions)]
    batches = by_length(chats, 3)
    assert sorted(row for batch in batches for row in batch) == list(range(len(chats)))
    assert all(len({row % 2 for row in batch}) == 1 for batch in batches)


def test_refused_conversations_are_left_out_and_listed(tiny_vlm, tiny_questions):
    chats = [conversation(question) for question in tiny_questions[:3]]
    odd = Conversation(tiny_questions[0].images, (Turn("<image>?", "yes"),), "odd")
    refused = {}
    found = read(tiny_vlm, [chats[0], odd, *chats[1:]], refused=refused)
    assert list(refused) == [1]
    assert "question 'odd'" in refused[1]
    assert found[1] == []
    alone = read(tiny_vlm, chats)
    assert [[r.text for r in row] for row in (found[0], *found[2:])] == [[r.text for r in row] for row in alone]
    with pytest.raises(HeadAtlasError, match="question 'odd'"):
        read(tiny_vlm, [chats[0], odd])


def test_an_answer_that_does_not_end_is_marked(tiny_vlm, tiny_questions):
    batch = encode(tiny_vlm, [conversation(tiny_questions[0])])
    gold = torch.cat([batch.ids[0, a:b] for a, b in batch.spans[0]])
    logits = torch.nn.functional.one_hot(gold, tiny_vlm.model.config.text_config.vocab_size).float()
    assert all(readout.ended and readout.exact for readout in readouts_of(tiny_vlm, batch, logits)[0])
    end = gold == tiny_vlm.tokenizer.eos_token_id
    logits[end] = logits[0].clone()  # the first answer's first token again, instead of an end
    assert not any(readout.ended for readout in readouts_of(tiny_vlm, batch, logits)[0])


def test_batches_keep_to_a_number_of_tokens(tiny_vlm, tiny_questions):
    chats = [conversation(question) for question in tiny_questions]
    seen = []
    longest = encode(tiny_vlm, chats).ids.shape[1]
    in_batches(tiny_vlm, chats, 8, lambda rows, batch: seen.append((rows, batch.ids.shape)), tokens=3 * longest)
    assert sorted(row for rows, _ in seen for row in rows) == list(range(len(chats)))
    assert all(len(rows) <= 3 + (shape[1] < longest) * 8 and shape[0] * shape[1] <= 3 * longest for rows, shape in seen)
    assert seen[0][1][0] == 3
    in_batches(tiny_vlm, chats[:2], 8, lambda rows, batch: seen.append(len(rows)), tokens=1)
    assert seen[-2:] == [1, 1]


def test_a_batch_that_does_not_fit_in_memory_is_halved_and_said(tiny_vlm, tiny_questions, caplog):
    chats = [conversation(question) for question in tiny_questions]
    sizes, done = [], []

    def work(rows, batch):
        sizes.append(len(rows))
        if len(rows) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        done.extend(rows)

    in_batches(tiny_vlm, chats, 8, work)
    assert sizes == [8, 4, 2, 2, 2, 2]
    assert sorted(done) == list(range(8))
    assert "out of memory with 8 conversations in a batch: going on with 4" in caplog.text

    def never(rows, batch):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes")

    with pytest.raises(HeadAtlasError, match="out of memory with a single conversation"):
        in_batches(tiny_vlm, chats, 2, never)

    def other(rows, batch):
        raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        in_batches(tiny_vlm, chats, 2, other)


def test_a_compiled_output_embedding_is_read_at_the_right_places(tiny_vlm, tiny_questions, monkeypatch):
    """Compiled code keeps the hooks that were there when it was compiled, which cut the logits of another batch."""
    chats = [conversation(question) for question in tiny_questions[:3]]
    want = [read(tiny_vlm, [chat]) for chat in chats]
    head = tiny_vlm.model.get_output_embeddings()
    monkeypatch.setattr(head, "_compiled_call_impl", torch.compile(head._call_impl, backend="eager"))
    assert [read(tiny_vlm, [chat]) for chat in chats] == want
    torch._dynamo.reset()
