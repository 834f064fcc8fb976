"""A model that needs a GPU, on a machine where torch can't use one."""

from __future__ import annotations

import warnings

import pytest
import torch

from functions.generate.engine.model.gpu import NoGpu, require_gpu


def test_the_error_says_why_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch's warning about the driver, in one line; or that there is no GPU, or a CPU build."""

    def warn_about_driver() -> bool:
        warnings.warn("The NVIDIA driver\non your system is too old.", stacklevel=1)
        return False

    monkeypatch.setattr(torch.cuda, "is_available", warn_about_driver)
    with pytest.raises(NoGpu, match=r"one: The NVIDIA driver on your system is too old\."):
        require_gpu()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for cuda, reason in (("12.8", "it finds none"), (None, "this is a CPU-only build of it")):
        monkeypatch.setattr(torch.version, "cuda", cuda)
        with pytest.raises(NoGpu, match=reason):
            require_gpu()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    require_gpu()
