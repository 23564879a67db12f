"""Why an operator is called as ATen has it, and has no code of its own: by family.

In: the name of an overload that a plan calls, the dtypes of the samples that it is called for.   Out: a few words.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Final

_FAMILIES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "linear algebra: LAPACK's": (
            "cholesky cholesky_inverse cholesky_solve geqrf lu_unpack ormqr triangular_solve "
            "_linalg_check_errors _linalg_det _linalg_eigh _linalg_eigvals _linalg_slogdet _linalg_solve_ex _linalg_svd "
            "linalg_cholesky_ex linalg_eig linalg_householder_product linalg_inv_ex linalg_ldl_factor_ex linalg_ldl_solve linalg_lu "
            "linalg_lu_factor_ex linalg_lu_solve linalg_matrix_exp linalg_pinv linalg_qr linalg_solve_triangular"
        ),
        "a product: a library's": (
            "mm addmm bmm baddbmm addbmm mv addmv dot vdot convolution _trilinear _scaled_dot_product_flash_attention_for_cpu "
            "_linear_cross_entropy_batch_chunked _linear_cross_entropy_batch_chunked_no_reduction _cdist_forward"
        ),
        "a Fourier transform: a library's": "_fft_c2c _fft_c2r _fft_r2c",
        "sorts": "sort topk kthvalue median nanmedian mode isin",
        "draws from eager's generator, in its order": (
            "bernoulli cauchy exponential geometric log_normal multinomial normal normal_functional rand randn randn_like randint "
            "randint_like randperm rrelu_with_noise uniform"
        ),
    }
)
_REASONS: Final[Mapping[str, str]] = MappingProxyType(
    {name: reason for reason, names in _FAMILIES.items() for name in names.split()}
)
_COMPLEX: Final = "complex numbers"
_UNKNOWN: Final = "no code of its own yet"


def reason_of_call(overload: str, dtypes: Collection[str]) -> str:
    """Give the reason why `overload` is called for samples of these dtypes."""
    name = overload.split(".")[1]
    if all(dtype.startswith("complex") for dtype in dtypes):
        return _COMPLEX
    return _REASONS.get(name, _UNKNOWN)
