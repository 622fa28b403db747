"""Plain asserts in the suite's helper modules are explained like those of test modules."""

import pytest

pytest.register_assert_rewrite("connectors.kit.contract", "connectors.kit.world")
