"""One self-contained HTML page that shows what runs found: tables, charts, windows, certificate."""
