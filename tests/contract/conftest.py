"""Plain asserts in the suite's helper modules are explained like those of test modules."""

import pytest

pytest.register_assert_rewrite("contract.side_contract", "tests.contract.side_contract")
