"""A video plays in a notebook, after `import sdgraph` alone."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sdgraph.media import video_html
from tests.support.small_images import small_video


def test_a_video_plays_in_a_notebook_unless_it_is_huge(monkeypatch: pytest.MonkeyPatch) -> None:
    html = small_video()._repr_html_()
    assert html.startswith("<video controls loop") and "data:video/mp4;base64,AAAA" in html
    monkeypatch.setattr("sdgraph.media.player.MAX_INLINE_BYTES", 10)
    assert "too large" in small_video()._repr_html_() == video_html(small_video())


def test_a_notebook_needs_to_import_nothing_but_sdgraph() -> None:
    code = (
        "import sys, types\n"
        "sys.modules['IPython'] = types.ModuleType('IPython')\n"
        "import sdgraph\n"
        "import numpy as np\n"
        "from sdgraph.values import Image, Video\n"
        "assert Image(np.zeros((4, 4, 3), np.uint8))._repr_png_().startswith(b'\\x89PNG')\n"
        "print(Video(np.zeros((2, 4, 4, 3), np.uint8), 8)._repr_html_())"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.startswith("<video controls loop")
