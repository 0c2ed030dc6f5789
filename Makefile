# The two commands of the README. Both do all the set-up they need; see scripts/.
.PHONY: demo test clean

demo:
	@scripts/setup
	@scripts/demo

test:
	@scripts/setup dev
	@scripts/test

clean:
	rm -rf .venv .gsta build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
