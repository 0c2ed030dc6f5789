"""``python -m gsta``."""

from gsta.cli import main

if __name__ == "__main__":
    main()
