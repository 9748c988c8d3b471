"""Training whose samples, which no test judges, are made in few steps."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sdgraph.nodes.training import samples


@pytest.fixture(scope="package", autouse=True)
def brief_samples() -> Iterator[None]:
    """Samples take two steps in place of twenty, which take longer than a short training."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(samples, "SAMPLE_STEPS", 2)
        yield
