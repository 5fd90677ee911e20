"""FLOPs and parameter counts against numbers that others published."""

import numpy as np
import pytest

from bayes_scaling.data.accounting import flops_6nd, tokens_from_flops, transformer_flops
from bayes_scaling.data.parameters import convert_params, embedding_params, non_embedding_params
from bayes_scaling.errors import SpecError

SHAPES = [(8, 512), (12, 768), (80, 8192)]


def test_chinchilla_and_gopher_budgets_even_for_python_integers():
    assert flops_6nd(70 * 10**9, 1_400 * 10**9) == pytest.approx(5.88e23, rel=1e-12)
    assert flops_6nd(280e9, 300e9) == pytest.approx(5.04e23, rel=1e-12)
    big = np.array([10**12], dtype=np.int64)
    assert flops_6nd(big, big)[0] == pytest.approx(6e24)  # int64 would wrap around


def test_tokens_from_flops_inverts_the_rule_of_six():
    tokens = np.array([2e9, 1.4e12])
    assert tokens_from_flops(flops_6nd(7e9, tokens), 7e9) == pytest.approx(tokens, rel=1e-14)


@pytest.mark.parametrize(("depth", "width"), SHAPES)
@pytest.mark.parametrize("context", [0, 2048, 4096])
def test_without_head_it_is_deepseeks_m(depth, width, context):
    cost = transformer_flops(width, depth, vocab_size=102_400, context_length=context, head=False)
    m = 72 * depth * width**2 + 12 * depth * width * context
    assert cost.training_per_token == pytest.approx(m, rel=1e-14)


def test_head_adds_six_vd():
    shape = {"vocab_size": 50_257, "context_length": 1024}
    with_head = transformer_flops(768, 12, **shape).training_per_token
    without = transformer_flops(768, 12, **shape, head=False).training_per_token
    assert with_head - without == pytest.approx(6 * 50_257 * 768)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"gated": True, "ffn_width": 11_008},
        {"heads": 32, "kv_heads": 8},
        {"attention_width": 640},
    ],
)
def test_no_context_and_no_vocabulary_is_exactly_six_n(options):
    cost = transformer_flops(4096, 32, vocab_size=0, context_length=0, **options)
    assert cost.training_per_token == 6 * non_embedding_params(4096, 32, **options)


@pytest.mark.parametrize(("depth", "width", "ratio"), [(8, 512, 0.43), (80, 8192, 0.92)])
def test_share_of_6n_in_m_at_a_context_of_4096(depth, width, ratio):
    m = transformer_flops(width, depth, vocab_size=0, context_length=4096).training_per_token
    assert 6 * non_embedding_params(width, depth) / m == pytest.approx(ratio, abs=0.005)


def test_causal_halves_scores_and_values_only():
    shape = {"vocab_size": 32_000, "context_length": 4096}
    full, half = (transformer_flops(512, 8, **shape, causal=c) for c in (False, True))
    assert half.attention_scores == full.attention_scores / 2
    assert half.attention_values == full.attention_values / 2
    assert (half.ffn, half.head) == (full.ffn, full.head)
    # Kaplan's table 1: 2 N + 2 depth context width per token forward.
    kaplan = 2 * non_embedding_params(512, 8) + 2 * 8 * 4096 * 512
    assert half.forward_per_token - half.head == pytest.approx(kaplan)


def test_pieces_sum_to_the_total_and_follow_arrays():
    depth, width = np.array([8.0, 80.0]), np.array([512.0, 8192.0])
    cost = transformer_flops(width, depth, vocab_size=32_000, context_length=2048)
    pieces = cost.attention_projections + cost.attention_scores + cost.attention_values
    assert cost.forward_per_token == pytest.approx(pieces + cost.ffn + cost.head)
    assert cost.total([1e9, 2e9]) == pytest.approx(3 * cost.forward_per_token * [1e9, 2e9])


def test_llama_2_70b_parameter_count():
    # 80 layers, d 8192, SwiGLU 28672, 64 query and 8 key-value heads, untied 32000 vocabulary:
    # 68.98e9 with norms, which add less than 1e-4 of it.
    blocks = non_embedding_params(8192, 80, heads=64, kv_heads=8, ffn_width=28_672, gated=True)
    total = blocks + embedding_params(8192, 32_000, tied=False)
    assert total == pytest.approx(68.98e9, rel=1e-4)


def test_default_block_is_twelve_depth_width_squared():
    assert non_embedding_params(768, 12) == 12 * 12 * 768**2


@pytest.mark.parametrize("tied", [True, False])
def test_converting_there_and_back(tied):
    shape = {"width": 768, "vocab_size": 50_257, "tied": tied}
    total = convert_params(85e6, count="non_embedding", to_count="total", **shape)
    assert total == pytest.approx(85e6 + (1 if tied else 2) * 768 * 50_257)
    assert convert_params(total, count="total", to_count="non_embedding", **shape) == 85e6


def test_active_parameters_do_not_convert():
    with pytest.raises(SpecError, match="no conversion from or to 'active' parameters"):
        convert_params(1e9, count="active", to_count="total", width=1, vocab_size=1)


def test_bad_shapes_are_refused():
    with pytest.raises(SpecError, match="width must not be negative; found -512"):
        transformer_flops(-512, 8, vocab_size=1, context_length=1)
    with pytest.raises(SpecError, match="kv_heads is given without heads; give both"):
        non_embedding_params(512, 8, kv_heads=2)
