"""`python -m fittingroom` is the same as `fittingroom`."""

from fittingroom.cli.main import run

if __name__ == "__main__":  # a worker process imports this file without wanting the command
    run()
