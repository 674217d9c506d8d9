"""`python -m distill`, which is what workers on other machines are started with."""

from distill.cli import main

if __name__ == "__main__":
    main()
