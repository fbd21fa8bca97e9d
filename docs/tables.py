"""Write tables in Markdown."""


def table(heading: list[str], rows: list[list[str]]) -> str:
    """Return a table of text; a bar inside a cell is escaped."""
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
    )
