"""Writes what figures alone say of the READMEs' orders and of public tables into docs/replications.md: nobody types a figure."""

from __future__ import annotations

from pages import ROOT, table, write_block

from fittingroom.metrics.reported import Order
from fittingroom.questions.claims import claims
from fittingroom.report.reported_page import HEAD, alone_words, headline, order_row
from fittingroom.study.workplace import Workplace

PAGE, FILE = "docs/replications.md", "docs/public-claims.toml"


def main() -> None:
    readmes, public = claims(["001", "002", "004"], Workplace()), claims([str(ROOT / FILE)], Workplace())
    lines = [headline(readmes.orders), "", *table([*HEAD], [order_row(o) for o in readmes.orders]), ""]
    lines += [headline(public.orders), "", *table(["claim", "source", *HEAD[1:]], [_row(o) for o in public.orders]), ""]
    write_block(PAGE, "figures", [*lines, *map(alone_words, public.alone)])


def _row(order: Order) -> list[str]:
    return [order.text, order.source, *order_row(order)[1:]]


if __name__ == "__main__":
    main()
