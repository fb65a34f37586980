"""``python -m outagecast``."""

from outagecast.cli import main

if __name__ == "__main__":
    main()
