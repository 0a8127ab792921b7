"""`python -m clpips`: the command line."""

from clpips.service.cli import main

if __name__ == "__main__":
    main()
