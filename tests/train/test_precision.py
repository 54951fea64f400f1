import torch

from lawtune.train.precision import autocast, resolve_precision, row_dtype


def test_automatic_precision_is_bf16_only_where_the_hardware_multiplies_in_it():
    cpu = torch.device("cpu")
    native = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    assert resolve_precision("auto", cpu) == ("bf16" if native else "fp32")
    assert resolve_precision("bf16", cpu) == "bf16"


def test_products_are_computed_in_the_precision_that_rows_enter_them_in():
    matrix = torch.ones(2, 2)
    for precision in ("fp32", "bf16"):
        with autocast(precision, matrix.device):
            assert (matrix @ matrix).dtype == row_dtype(precision)
