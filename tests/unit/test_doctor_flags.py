"""How ``epp doctor`` reads the arguments of a picker."""

import click
import pytest

from epp.doctor.objects import Container, PodSpec


def started(*args: str) -> PodSpec:
    return PodSpec(containers=[Container(args=list(args))])


WORDS = [(word, is_on) for word, is_on in click.types.BoolParamType.bool_states.items() if word]


@pytest.mark.parametrize(("word", "is_on"), WORDS)
def test_words_for_yes_and_no_are_those_of_the_picker(word: str, *, is_on: bool) -> None:
    assert started(f"--secure-serving={word}").is_on("secure-serving", default=not is_on) is is_on


@pytest.mark.parametrize(
    ("args", "port"),
    [
        pytest.param(["--grpc-port=1", "--grpc-port=2"], 2, id="with ="),
        pytest.param(["--grpc-port=1", "--grpc-port", "2"], 2, id="two words"),
        pytest.param([], 9002, id="none"),
    ],
)
def test_last_of_several_flags_counts(args: list[str], port: int) -> None:
    assert started(*args).port("grpc-port", 9002) == port
