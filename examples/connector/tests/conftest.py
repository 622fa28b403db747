"""The suite's plain asserts are explained like those of test modules."""

import pytest

pytest.register_assert_rewrite("connectors.kit.contract", "connectors.kit.world")
