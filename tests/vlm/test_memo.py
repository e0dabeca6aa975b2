from headatlas.vlm.batch import encode
from headatlas.vlm.chat import conversation
from headatlas.vlm.memo import BatchMemo


def test_batches_above_the_limit_are_dropped_oldest_first(tiny_vlm, tiny_questions):
    a, b, c = (encode(tiny_vlm, [conversation(question)]) for question in tiny_questions[:3])
    size = 20_000  # one batch: 12 kB of pixels and 2 to 3 kB of ids
    memo = BatchMemo(max_bytes=2 * size)
    made = []

    def get(key, batch):
        return memo.get(key, lambda: made.append(key) or batch)

    assert get("a", a) is get("a", b) is a
    get("b", b)
    get("a", a)
    get("c", c)  # drops b, the least recently used
    get("a", a)
    get("b", b)
    assert made == ["a", "b", "c", "b"]


def test_a_batch_larger_than_the_limit_is_not_kept(tiny_vlm, tiny_questions):
    batch = encode(tiny_vlm, [conversation(tiny_questions[0])])
    memo = BatchMemo(max_bytes=10)
    assert memo.get("a", lambda: batch) is batch
    made = []
    memo.get("a", lambda: made.append(1) or batch)
    assert made
