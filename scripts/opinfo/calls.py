"""Why an operator is called as ATen has it, and has no code of its own: by family.

In: the name of an overload that a plan calls, the dtypes of the samples that it is called for.   Out: a few words.
Keeps: figures for what was measured are where the decision is made, in the docstrings of `lower/rules/` and `graph/decomps/`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Final

_FAMILIES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "linear algebra, LAPACK's": (
            "cholesky cholesky_inverse cholesky_solve geqrf lu_unpack ormqr triangular_solve _linalg_check_errors _linalg_det "
            "_linalg_eigh _linalg_eigvals _linalg_slogdet _linalg_solve_ex _linalg_svd linalg_cholesky_ex linalg_eig "
            "linalg_householder_product linalg_inv_ex linalg_ldl_factor_ex linalg_ldl_solve linalg_lu linalg_lu_factor_ex "
            "linalg_lu_solve linalg_matrix_exp linalg_pinv linalg_qr linalg_solve_triangular"
        ),
        "a product, which a library is quicker at or is alone to do in narrow floats": (
            "mm addmm bmm baddbmm addbmm mv addmv dot vdot addr convolution _trilinear _cdist_forward "
            "_scaled_dot_product_flash_attention_for_cpu _linear_cross_entropy_batch_chunked "
            "_linear_cross_entropy_batch_chunked_no_reduction"
        ),
        "a Fourier transform": "_fft_c2c _fft_c2r _fft_r2c",
        "sorts or selects by order": "sort topk kthvalue median nanmedian mode isin",
        "draws from eager's generator, in its order": (
            "bernoulli cauchy exponential geometric log_normal multinomial normal normal_functional rand randn randn_like randint "
            "randint_like randperm rrelu_with_noise uniform"
        ),
        "as many steps as the values say": (
            "igamma igammac gcd lcm special_zeta polygamma special_chebyshev_polynomial_t special_chebyshev_polynomial_u "
            "special_chebyshev_polynomial_v special_chebyshev_polynomial_w special_hermite_polynomial_h special_hermite_polynomial_he "
            "special_laguerre_polynomial_l special_legendre_polynomial_p special_shifted_chebyshev_polynomial_t "
            "special_shifted_chebyshev_polynomial_u special_shifted_chebyshev_polynomial_v special_shifted_chebyshev_polynomial_w"
        ),
        "as many elements as the values say": "segment_reduce _embedding_bag_forward_only masked_scatter nonzero_static index_put",
        "own code was less accurate than twice eager's error, or slower": (
            "erfinv lgamma mvlgamma special_ndtri special_bessel_j0 special_bessel_j1 special_bessel_y0 special_bessel_y1 "
            "special_modified_bessel_k0 special_modified_bessel_k1 special_scaled_modified_bessel_k0 special_scaled_modified_bessel_k1 "
            "special_i0e ldexp"
        ),
        "gathers along memory were slower": "upsample_linear1d upsample_bilinear2d upsample_trilinear3d",
        "narrow floats, or integers, which eager rounds in its own way": (
            "linspace logspace nll_loss_forward nll_loss2d_forward scatter_reduce grid_sampler_2d grid_sampler_3d round pow"
        ),
        "places in storage, not in the tensor": "as_strided_copy as_strided_scatter",
        "gives complex numbers": "_to_copy complex polar conj_physical _conj_physical",
        "writes to its arguments": (
            "copy_ embedding_renorm _native_batch_norm_legit _batch_norm_with_update_functional"
        ),
        "refuses values, and is called to refuse them": "_assert_async",
        "no elements, or no dimensions: nothing to gain": (
            "aminmax constant_pad_nd empty_permuted gather index_add index_copy index_fill index_select scatter_add std std_mean take "
            "var var_mean cat"
        ),
    }
)
_REASONS: Final[Mapping[str, str]] = MappingProxyType(
    {name: reason for reason, names in _FAMILIES.items() for name in names.split()}
)
_COMPLEX: Final = "complex numbers"
_RARE: Final = "rare: no code of its own yet"
_REST: Final = "the rest: other dtypes and forms, or nothing to compute"


def reason_of_call(overload: str, dtypes: Collection[str], *, is_own_else: bool) -> str:
    """Give the reason why `overload` is called for samples of these dtypes; `is_own_else`: the op's others have own code."""
    if dtypes and all(dtype.startswith("complex") for dtype in dtypes):
        return _COMPLEX
    return _REASONS.get(overload.split(".")[1], _REST if is_own_else else _RARE)
