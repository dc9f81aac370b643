"""Keep pytest's doctest collection off the generator: it needs torch, the tests do not."""

collect_ignore = ["make_fixtures.py"]
