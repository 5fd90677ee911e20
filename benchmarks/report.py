"""A protocol's report: anchor, ours, pass or fail per line, the verdict last."""

from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table

WIDTH = 110


@dataclass
class Report:
    """Lines of one protocol.

    Parameters
    ----------
    name, title : str
        "P1" and what it measures.
    """

    name: str
    title: str
    rows: list[tuple[str, str, str, str]] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def show(self, what: str, anchor: object, ours: object) -> None:
        """Add a line that is reported and gates nothing."""
        self.rows.append((what, str(anchor), str(ours), ""))

    def gate(self, what: str, anchor: object, ours: object, ok: bool) -> None:
        """Add a line that must hold."""
        self.rows.append((what, str(anchor), str(ours), "pass" if ok else "FAIL"))
        if not ok:
            self.failed.append(what)

    @property
    def verdict(self) -> str:
        """``PASS`` or ``FAIL: what``."""
        return f"FAIL: {'; '.join(self.failed)}" if self.failed else "PASS"

    def print(self) -> int:
        """Print the report; return the exit status."""
        table = Table(title=f"{self.name}. {self.title}", title_justify="left")
        for column in ("quantity", "anchor", "ours", ""):
            table.add_column(column, overflow="fold")
        for row in self.rows:
            table.add_row(*row)
        Console(width=WIDTH).print(table)
        print(self.verdict)
        return 1 if self.failed else 0

    def markdown(self) -> str:
        """Write the report for the results page."""
        lines = [
            f"## {self.name}. {self.title}",
            "",
            "| quantity | anchor | ours | |",
            "|---|---|---|---|",
        ]
        lines += ["| " + " | ".join(c.replace("|", "\\|") for c in row) + " |" for row in self.rows]
        return "\n".join([*lines, "", self.verdict, ""])
