"""What the tests of pictures need."""

import pytest

from initiator.reports.plot import draw
from tests.initiator.reports.sample import history


@pytest.fixture(scope="session")
def fonts(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Draw once before the tests: matplotlib keeps the fonts that it has used open."""
    draw(tmp_path_factory.mktemp("fonts") / "a.png", history(), None)
