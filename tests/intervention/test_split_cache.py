from PIL import Image

from headatlas.intervention.split_cache import SplitCache


class Data:
    """Two splits of three questions with a picture of 300 bytes each; counts how often a question is read."""

    def __init__(self):
        self.read = 0

    def split(self, name):
        data = self

        class Questions:
            def __len__(self):
                return 3

            def __getitem__(self, i):
                if i >= 3:
                    raise IndexError
                data.read += 1
                return Question(name, i)

        return Questions()


class Question:
    def __init__(self, split, i):
        self.name = f"{split}{i}"
        self.images = (Image.new("RGB", (10, 10)),)


def names(questions):
    return [question.name for question in questions]


def test_a_small_split_is_read_once():
    data = Data()
    held = SplitCache(data, limit=900)
    for _ in range(3):
        assert names(held.questions("E")) == ["E0", "E1", "E2"]
    assert data.read == 3


def test_a_split_with_larger_pictures_is_read_anew_each_time():
    data = Data()
    held = SplitCache(data, limit=899)
    for _ in range(3):
        assert names(held.questions("E")) == ["E0", "E1", "E2"]
    assert not isinstance(held.questions("E"), list)
    assert data.read == 3 + 3 * 3


def test_one_split_at_a_time():
    held = SplitCache(Data())
    assert names(held.questions("E")) == ["E0", "E1", "E2"]
    assert names(held.questions("S")) == ["S0", "S1", "S2"]
    assert names(held.questions("E")) == ["E0", "E1", "E2"]
