from headatlas.vlm.data import Questions, fingerprint_of, steps_of, windows


class Light:
    """A dataset that, as a `CogVSR`, can be read without images."""

    fingerprint = "abc"

    def __init__(self, questions):
        self.questions = questions

    def __len__(self):
        return len(self.questions)

    def __iter__(self):
        raise AssertionError("images were decoded")

    def without_images(self):
        return (question.model_copy(update={"images": ()}) for question in self.questions)


def test_windows_are_consecutive_and_can_be_skipped(tiny_questions):
    runs = list(windows(tiny_questions, 3))
    assert [len(run) for run in runs] == [3, 3, 2]
    assert [question.id for run in runs for question in run] == [question.id for question in tiny_questions]
    assert list(windows(tiny_questions, 3, skip=2)) == runs[2:]
    assert list(windows(tiny_questions, 3, skip=3)) == []


def test_a_fingerprint_is_the_datasets_own_or_taken_from_content(tiny_questions):
    assert fingerprint_of(Light(tiny_questions)) == "abc"
    assert fingerprint_of(tiny_questions) == fingerprint_of([q.model_copy() for q in tiny_questions])
    assert fingerprint_of(tiny_questions) != fingerprint_of(tiny_questions[::-1])
    without = [question.model_copy(update={"images": ()}) for question in tiny_questions]
    assert fingerprint_of(tiny_questions) != fingerprint_of(without)


def test_steps_are_counted_without_images_where_possible(tiny_questions):
    want = [len(question.steps) for question in tiny_questions]
    assert steps_of(Light(tiny_questions)) == want == steps_of(tiny_questions)


def test_lists_and_datasets_are_questions(tiny_questions):
    assert isinstance(tiny_questions, Questions)
    assert isinstance(Light([]), Questions)
    assert not isinstance(iter([]), Questions)
