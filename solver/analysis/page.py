"""Fills the templates of the pages and pictures: report.html, grids.svg, variants.svg."""

from pathlib import Path

import jinja2

TEMPLATES = Path(__file__).with_name("templates")


def filled(template: str, **values: object) -> str:
    """The template with these values, escaped for HTML and SVG."""
    loader = jinja2.FileSystemLoader(TEMPLATES)
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.get_template(template).render(**values)
