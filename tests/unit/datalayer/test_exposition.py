"""A metric is looked for where it stood before, and found wherever it has gone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epp.datalayer.exposition import SLACK_BYTES, TRUSTED_PAGES, Layout

NAME = b"waiting"
FILLER = b"other 1\n"
FAR = FILLER * (2 * SLACK_BYTES // len(FILLER))


def values(layout: Layout, page: bytes) -> list[bytes]:
    return list(layout.find(page, NAME).samples.values())


def test_metric_that_moves_a_little_or_far_is_found() -> None:
    layout = Layout()
    for before in (b"", FILLER, FAR, FAR + FAR, FILLER, b""):
        assert values(layout, before + b"waiting 3\n" + FAR) == [b"3"]


def test_group_that_moved_so_that_its_middle_is_near_is_read_whole() -> None:
    group = b"".join(b'waiting{rank="%03d"} 1\n' % rank for rank in range(200))
    layout = Layout()
    assert len(values(layout, FAR + group)) == 200
    assert len(values(layout, group)) == 200


def test_metric_in_several_places_is_read_from_all_of_them() -> None:
    layout = Layout()
    page = b'waiting{rank="0"} 1\n' + FAR + b'waiting{rank="1"} 2\n'
    for _ in range(3):
        assert values(layout, page) == [b"1", b"2"]


def test_second_place_that_comes_later_is_found_at_once_where_the_page_grows() -> None:
    layout = Layout()
    one = b'waiting{rank="0"} 1\n' + FAR
    values(layout, one)
    assert values(layout, one + b'waiting{rank="1"} 2\n' + FILLER * 10) == [b"1", b"2"]


def test_second_place_that_comes_later_is_found_after_a_few_pages_of_the_same_length() -> None:
    layout = Layout()
    values(layout, b'waiting{rank="0"} 1\n' + FAR)
    other = b'waiting{rank="0"} 1\n' + FAR[len(FILLER) * 3 :] + b'waiting{rank="1"} 2\n'
    for _ in range(TRUSTED_PAGES + 1):
        found = values(layout, other)
    assert found == [b"1", b"2"]


def test_metric_that_was_absent_is_found_after_a_few_pages() -> None:
    layout = Layout()
    assert values(layout, FILLER) == []
    for _ in range(TRUSTED_PAGES + 1):
        found = values(layout, b"waiting 3\n")
    assert found == [b"3"]


def test_metric_that_is_renamed_is_found_under_its_other_name_at_once() -> None:
    layout = Layout()
    layout.find(b"old 1\n", b"old")
    layout.find(b"old 1\n", b"new")
    page = b"new 2\n"
    assert layout.find(page, b"old").samples == {}
    assert list(layout.find(page, b"new").samples.values()) == [b"2"]


def test_series_that_stands_there_twice_counts_once() -> None:
    assert values(Layout(), b'waiting{a="1"} 3\nwaiting{a="1"} 4\n') == [b"4"]


def test_what_has_not_changed_is_not_read_again() -> None:
    layout = Layout()
    first = layout.find(FILLER + b"waiting 3\n", NAME)
    assert layout.find(b"waiting 3\n", NAME) is first
    assert layout.find(b"waiting 4\n", NAME) is not first


@given(
    st.lists(
        st.tuples(st.integers(0, 3 * SLACK_BYTES // len(FILLER)), st.integers(0, 3), st.binary(max_size=20)),
        max_size=12,
    )
)
def test_pages_of_any_layout_read_as_if_each_were_the_first(shapes: list[tuple[int, int, bytes]]) -> None:
    """Where the metric stands in one place on each page."""
    layout = Layout()
    for filler, ranks, tail in shapes:
        group = b"".join(b'waiting{rank="%d"} %d\n' % (rank, filler) for rank in range(ranks + 1))
        page = FILLER * filler + group + b"# " + tail.replace(b"\n", b"") + b"\n" + FILLER * ranks
        assert values(layout, page) == values(Layout(), page)


@pytest.mark.parametrize("page", [b"waiting", b"waiting{", b"\nwaiting", b"waiting \n", b"waiting{} \n"])
def test_torn_line_is_no_sample(page: bytes) -> None:
    assert values(Layout(), page) == []
