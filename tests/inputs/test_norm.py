"""Norm functions: the language, its numbers against numpy's, and texts that are refused."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnshell.inputs.norm_parser import parse_norm
from nnshell.support.errors import InputError, NNShellError, UsageError

IMAGE = np.random.default_rng(7).integers(0, 256, (3, 5, 4)).astype(np.float64)
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]

FORMS: dict[str, Callable[[Any], Any]] = {
    "x: x/128-1": lambda x: x / 128 - 1,
    "x:x/127.5-1": lambda x: x / 127.5 - 1,
    "lambda x: x/255": lambda x: x / 255,
    "lambda  image :image * 2": lambda x: x * 2,
    "(x/255-0.5)/0.5": lambda x: (x / 255 - 0.5) / 0.5,
    "x: x": lambda x: x,
    "x: -x // 3 + +x % 7": lambda x: -x // 3 + +x % 7,
    "x: 2**-1 * x**2": lambda x: 2**-1 * x**2,
    f"x: (x/255-np.array({MEAN}).reshape(3,1,1))/np.array({STD}).reshape((3,1,1))": lambda x: (
        (x / 255 - np.array(MEAN).reshape(3, 1, 1)) / np.array(STD).reshape(3, 1, 1)
    ),
    "x: x - np.array([[[1/3]],[[-2]],[[3]]], dtype=np.float32)": lambda x: (
        x - np.array([[[1 / 3]], [[-2]], [[3]]])
    ),
    "x: x - np.reshape(np.asarray([1,2,3]), (-1,1,1))": lambda x: (
        x - np.array([1, 2, 3]).reshape(-1, 1, 1)
    ),
    "x: np.clip(x, 10, 200)": lambda x: np.clip(x, 10, 200),
    "x: x.clip(10, 200)": lambda x: x.clip(10, 200),
    "x: (x-np.mean(x))/np.std(x)": lambda x: (x - np.mean(x)) / np.std(x),
    "x: x - x.mean(axis=(1, 2), keepdims=True)": lambda x: x - x.mean(axis=(1, 2), keepdims=True),
    "x: x/np.max(x) - x.min()": lambda x: x / np.max(x) - x.min(),
    "x: np.sqrt(np.abs(x)) + abs(x)": lambda x: np.sqrt(np.abs(x)) + abs(x),
    "x: np.log(x+1)*np.exp(-x)": lambda x: np.log(x + 1) * np.exp(-x),
    "x: np.minimum(x, np.maximum(7, x/2))": lambda x: np.minimum(x, np.maximum(7, x / 2)),
    "x: np.float32(x)/255": lambda x: np.float32(x) / 255,
    "x: x.astype(np.int8)": lambda x: x.astype(np.int64).astype(np.int8).astype(float),
    "x: (x/2).astype(np.uint8)": lambda x: np.floor(x / 2),
    "x: (x-128).astype('int16')*300": lambda x: (x - 128) * 300,
    "x: x.astype(np.float32)*0.1": lambda x: x.astype(np.float32) * 0.1,
    "x: x.astype('float16') + x.astype(float)": lambda x: x.astype("float16") + x.astype(float),
    "x: np.flip(x, 0)": lambda x: np.flip(x, 0),
    "x: np.flip(x)": lambda x: np.flip(x),
    "x: x[::-1]": lambda x: x[::-1],
    "x: x[..., ::-1] - x[0][None]": lambda x: x[..., ::-1] - x[0][None],
    "x: x[:, 1:3, np.newaxis]": lambda x: x[:, 1:3, np.newaxis],
    "x: x.transpose(2,0,1)": lambda x: x.transpose(2, 0, 1),
    "x: np.transpose(x, (1,2,0)) + 1": lambda x: np.transpose(x, (1, 2, 0)) + 1,
    "x: x.T": lambda x: x.T,
}


@pytest.mark.parametrize("text", FORMS)
def test_forms_compute_what_numpy_computes(text: str) -> None:
    result = parse_norm(text)(IMAGE)
    expected = FORMS[text](IMAGE)
    assert result.dtype == expected.dtype
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("text", FORMS)
def test_a_batch_gives_the_bits_of_one_image_at_a_time(text: str) -> None:
    images = np.random.default_rng(1).integers(0, 256, (9, 3, 5, 4)).astype(np.float64)
    function = parse_norm(text)
    one_by_one = np.stack([function(image) for image in images])
    assert function.apply_batch(images).tobytes() == one_by_one.tobytes()


def test_a_constant_of_higher_rank_than_the_image_does_not_meet_the_batch_axis() -> None:
    images = np.arange(24.0).reshape(3, 2, 4)
    function = parse_norm("x: x + np.array([[[1]], [[2]], [[3]]])")
    np.testing.assert_array_equal(
        function.apply_batch(images), np.stack([function(image) for image in images])
    )
    assert function.output_shape((2, 4)) == (3, 2, 4)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x:",
        "lambda: 3",
        "x: 5",
        "np.array([1, 2])",
        "x: y/2",
        "np: np/2",
        "x: x/",
        "x: x; import os",
        "x: __import__('os').system('true')",
        "x: x.__class__",
        "x: ().__class__.__bases__[0].__subclasses__()",
        "x: [y for y in x]",
        "x: (lambda y: y)(x)",
        "x: (y := x)",
        "x: f'{x}'",
        "x: np.load('file')",
        "x: np.lib.format.open_memmap('f')",
        "x: x if x else x",
        "x: x > 3",
        "x: x and x",
        "x: np.array(['a'])",
        "x: x - np.array([1, [2]])",
        "x: x - np.array([])",
        "x: x - np.array([x])",
        "x: x - np.array([1], copy=True)",
        "x: x + 1j",
        "x: x + True",
        "x: x + 'a'",
        "x: x / 0 + 9**9**9",
        "x: x + 9**9**9**9",
        "x: x + 1e999",
        "x: x + " + "9" * 400,
        "x: x + " + "9" * 4000,
        "x: x + 1/0",
        "x: x + (-8)**0.5",
        "x: x + np.log(0)",
        "x: x.reshape(3.0)",
        "x: x.reshape()",
        "x: x.reshape(x)",
        "x: x.astype(np.complex64)",
        "x: x.astype(np.float32, copy=True)",
        "x: np.clip(x, 0)",
        "x: np.mean()",
        "x: np.mean(x, axis=0, dtype=1)",
        "x: np.mean(x, axis=0.5)",
        "x: x[1.5]",
        "x: x[x]",
        "x: x" + "+1" * 2000,
        "x: " + "-" * 4000 + "x",
        "x: " + "(" * 150 + "x" + ")" * 150 + "**" * 3,
        "x: " + "[" * 500,
        "x: np.array(" + "[" * 80 + "1" + "]" * 80 + ") + x",
        "x: x\0",
        "x: x/128\u20131",
        "x: \ud800 + x",
    ],
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="norm function"):
        parse_norm(text)


def test_the_error_names_what_is_not_understood() -> None:
    with pytest.raises(UsageError, match=r"'np\.median\(x\)' is not supported.*x: x/128-1"):
        parse_norm("x: x - np.median(x)")


@pytest.mark.parametrize(
    "text",
    ["x: x + np.array([1,2,3])", "x: x.reshape(7, 7)", "x: x.mean(axis=5)", "x: x[9]", "x: x[9:]"],
)
def test_a_function_that_does_not_suit_the_shape_says_so(text: str) -> None:
    with pytest.raises(InputError, match="3x5x4"):
        parse_norm(text)(IMAGE)


def test_an_image_cannot_be_blown_up() -> None:
    function = parse_norm("x: x.reshape(-1,1,1) * x.reshape(1,-1,1) * x.reshape(1,1,-1)")
    with pytest.raises(InputError, match="elements"):
        function(np.ones((3, 200, 200)))


Reference = Callable[[Any], Any]
Expression = tuple[str, Reference]


def _leaf(text: str, value: Any) -> Expression:
    return text, lambda x: x if value is None else value


def _combine(parts: tuple[str, Callable[[Any, Any], Any], Expression, Expression]) -> Expression:
    symbol, function, (left, compute_left), (right, compute_right) = parts
    return f"({left}) {symbol} ({right})", lambda x: function(compute_left(x), compute_right(x))


def _wrap(parts: tuple[str, Callable[[Any], Any], Expression]) -> Expression:
    form, function, (text, compute) = parts
    return form.format(text), lambda x: function(compute(x))


def _channel_constant(values: list[float]) -> Expression:
    text = f"np.array({values}).reshape(3,1,1)"
    return _leaf(text, np.array(values, dtype=np.float64).reshape(3, 1, 1))


numbers = st.floats(0.25, 300, allow_nan=False).map(lambda value: round(value, 3))
leaves = st.one_of(
    st.just(_leaf("x", None)),
    numbers.map(lambda value: _leaf(repr(value), value)),
    st.lists(numbers, min_size=3, max_size=3).map(_channel_constant),
)
binary = st.sampled_from(
    [
        ("+", operator.add),
        ("-", operator.sub),
        ("*", operator.mul),
        ("/", operator.truediv),
        ("//", operator.floordiv),
        ("%", operator.mod),
    ]
)
unary = st.sampled_from(
    [
        ("-({})", operator.neg),
        ("np.abs({})", np.abs),
        ("np.float32({})", np.float32),
        ("np.clip({}, -1, 9.5)", lambda x: np.clip(x, -1, 9.5)),
        ("({})**2.0", lambda x: x**2.0),
        ("np.exp(np.minimum({}, 3.0))", lambda x: np.exp(np.minimum(x, 3.0))),
    ]
)
expressions = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.tuples(binary, inner, inner).map(lambda p: _combine((*p[0], *p[1:]))),
        st.tuples(unary, inner).map(lambda p: _wrap((*p[0], p[1]))),
    ),
    max_leaves=8,
)


@given(expressions)
def test_random_arithmetic_equals_numpy(expression: Expression) -> None:
    text, reference = expression
    try:
        with np.errstate(all="ignore"):
            expected = np.asarray(reference(IMAGE))
    except ArithmeticError:  # a division by zero, or a power too large, between plain numbers
        with pytest.raises(NNShellError):
            parse_norm(f"x: {text}")(IMAGE)
        return
    if "x" not in text.replace("np.exp", ""):
        with pytest.raises(UsageError):
            parse_norm(f"x: {text}")
        return
    try:
        function = parse_norm(f"x: {text}")
    except UsageError as error:
        assert "not finite" in error.message  # numpy would have gone on with an infinite constant
        return
    np.testing.assert_array_equal(function(IMAGE), expected)
    images = np.stack([IMAGE, IMAGE[::-1], IMAGE * 0.5])
    one_by_one = np.stack([function(np.ascontiguousarray(image)) for image in images])
    assert function.apply_batch(images).tobytes() == one_by_one.tobytes()


TOKENS = [
    *("x", "x: ", "np", ".", "(", ")", "[", "]", ",", "1", "0.5", "-", "+", "*", "**", "/", "//"),
    *(
        "%",
        ":",
        "::",
        "...",
        "None",
        "True",
        "lambda ",
        "array",
        "reshape",
        "mean",
        "clip",
        "axis=",
    ),
    *(
        "astype",
        "float32",
        "T",
        "transpose",
        "flip",
        "'",
        '"',
        "\\",
        "#",
        "\n",
        " ",
        "if ",
        "else ",
    ),
    *("=", ":=", "{", "}", "9**9", "1e308", "é", "\0", "np.array([1,2,3])", "x.reshape(3,1,1)"),
]


@given(st.one_of(st.text(max_size=200), st.lists(st.sampled_from(TOKENS)).map("".join)))
def test_garbage_raises_nothing_but_our_errors(text: str) -> None:
    try:
        result = parse_norm(text)(IMAGE)
    except NNShellError:
        return
    assert isinstance(result, np.ndarray)
