"""A metric is looked for where it stood before, and found wherever it has gone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epp.datalayer.exposition import MAX_KEPT_BYTES, SLACK_BYTES, TRUSTED_PAGES, Layout

NAME = b"waiting"
FILLER = b"other 1\n"
FAR = FILLER * (2 * SLACK_BYTES // len(FILLER))


class Reader:
    """Reads the values of `NAME` on one page after the other, and only where something may have changed."""

    def __init__(self) -> None:
        self._layout = Layout()
        self._values: list[bytes] = []

    def values(self, page: bytes) -> list[bytes]:
        if not self._layout.turn_to(page):
            self._values = list(self._layout.find(page, NAME).samples.values())
        return self._values


def test_metric_that_moves_a_little_or_far_is_found() -> None:
    reader = Reader()
    for before in (b"", FILLER, FAR, FAR + FAR, FILLER, b""):
        assert reader.values(before + b"waiting 3\n" + FAR) == [b"3"]


def test_group_that_moved_so_that_its_middle_is_near_is_read_whole() -> None:
    group = b"".join(b'waiting{rank="%03d"} 1\n' % rank for rank in range(200))
    reader = Reader()
    assert len(reader.values(FAR + group)) == 200
    assert len(reader.values(group)) == 200


def test_metric_in_several_places_is_read_from_all_of_them() -> None:
    reader = Reader()
    page = b'waiting{rank="0"} 1\n' + FAR + b'waiting{rank="1"} 2\n'
    for _ in range(3):
        assert reader.values(page) == [b"1", b"2"]


def test_second_place_that_comes_later_is_found_at_once_where_the_page_grows() -> None:
    reader = Reader()
    one = b'waiting{rank="0"} 1\n' + FAR
    reader.values(one)
    assert reader.values(one + b'waiting{rank="1"} 2\n' + FILLER * 10) == [b"1", b"2"]


def test_second_place_that_comes_later_is_found_after_a_few_pages_of_the_same_length() -> None:
    reader = Reader()
    reader.values(b'waiting{rank="0"} 1\n' + FAR)
    other = b'waiting{rank="0"} 1\n' + FAR[len(FILLER) * 3 :] + b'waiting{rank="1"} 2\n'
    for _ in range(TRUSTED_PAGES + 1):
        found = reader.values(other)
    assert found == [b"1", b"2"]


def test_metric_that_was_absent_is_found_after_a_few_pages() -> None:
    reader = Reader()
    assert reader.values(FILLER) == []
    for _ in range(TRUSTED_PAGES + 1):
        found = reader.values(b"waiting 3\n")
    assert found == [b"3"]


def test_metric_that_is_renamed_is_found_under_its_other_name_at_once() -> None:
    layout = Layout()
    layout.find(b"old 1\n", b"old")
    layout.find(b"old 1\n", b"new")
    page = b"new 2\n"
    assert layout.find(page, b"old").samples == {}
    assert list(layout.find(page, b"new").samples.values()) == [b"2"]


def test_series_that_stands_there_twice_counts_once() -> None:
    assert Reader().values(b'waiting{a="1"} 3\nwaiting{a="1"} 4\n') == [b"4"]


def test_what_has_not_changed_is_not_read_again() -> None:
    layout = Layout()
    first = layout.find(FILLER + b"waiting 3\n", NAME)
    assert layout.find(b"waiting 3\n", NAME) is first
    assert layout.find(b"waiting 4\n", NAME) is not first


@pytest.mark.parametrize("group", [b"waiting 3\n", b'waiting{a="1"} 3\nwaiting{a="2"} 4\n'])
@pytest.mark.parametrize(
    ("before", "after"),
    [(b"", b'waiting{b="1"} 5\n'), (b'waiting{b="1"} 5\n', b""), (b"x", b""), (b"", b"waiting_for 1\n")],
    ids=["one more after it", "one more before it", "not at the beginning of a line", "a longer name after it"],
)
def test_group_that_stands_where_it_stood_is_read_with_its_neighbours(
    group: bytes, before: bytes, after: bytes
) -> None:
    page = FILLER + before + group + after + FILLER
    reader = Reader()
    first = FILLER + b"#" * (len(before) - 1) + b"\n" * bool(before) + group + FILLER
    reader.values(first)
    assert reader.values(page) == Reader().values(page)


def test_page_on_which_all_that_is_looked_for_has_stayed_is_as_before() -> None:
    layout = Layout()
    page = b"noise 1\nwaiting 3\nnoise 2\nrunning 4\n"
    assert not layout.turn_to(page)
    for name in (b"waiting", b"running", b"absent"):
        layout.find(page, name)
    assert layout.turn_to(page.replace(b"noise 1", b"noise 9"))
    assert not layout.turn_to(page.replace(b"running 4", b"running 5"))


def test_metric_that_changes_after_another_was_renamed_is_seen() -> None:
    layout = Layout()
    names = (b"waiting", b"old", b"new")
    for old, seen in ((b"old", b"1"), (b"new", b"1"), (b"new", b"2")):
        page = b"waiting " + seen + b"\n" + old + b" 1\n"
        assert not layout.turn_to(page)
        found = [layout.find(page, name) for name in names]
        assert list(found[0].samples.values()) == [seen]


@pytest.mark.parametrize(
    "between", [b"waiting 31", b"waiting 31\n" * MAX_KEPT_BYTES], ids=["torn", "too long to be kept"]
)
def test_group_that_is_as_it_was_before_another_one_is_read(between: bytes) -> None:
    reader = Reader()
    for page in (FILLER + b"waiting 3\n", FILLER + between, FILLER + b"waiting 3\n" + between[11:].replace(b"w", b"v")):
        assert reader.values(page) == Reader().values(page)


def test_value_that_grows_at_the_end_of_a_torn_page_is_read_whole() -> None:
    reader = Reader()
    assert reader.values(FILLER + b"waiting 3") == [b"3"]
    assert reader.values(FILLER + b"waiting 31\n") == [b"31"]


def test_metric_that_goes_away_is_gone_for_good() -> None:
    layout = Layout()
    assert layout.find(b"waiting 3\n" + FILLER, NAME).samples
    for _ in range(TRUSTED_PAGES + 2):
        assert not layout.find(b"#########\n" + FILLER, NAME).samples


@given(
    st.lists(
        st.tuples(st.integers(0, 3 * SLACK_BYTES // len(FILLER)), st.integers(0, 3), st.binary(max_size=20)),
        max_size=12,
    )
)
def test_pages_of_any_layout_read_as_if_each_were_the_first(shapes: list[tuple[int, int, bytes]]) -> None:
    """Where the metric stands in one place on each page."""
    reader = Reader()
    for filler, ranks, tail in shapes:
        group = b"".join(b'waiting{rank="%d"} %d\n' % (rank, filler) for rank in range(ranks + 1))
        page = FILLER * filler + group + b"# " + tail.replace(b"\n", b"") + b"\n" + FILLER * ranks
        assert reader.values(page) == Reader().values(page)


@pytest.mark.parametrize("page", [b"waiting", b"waiting{", b"\nwaiting", b"waiting \n", b"waiting{} \n"])
def test_torn_line_is_no_sample(page: bytes) -> None:
    assert Reader().values(page) == []
