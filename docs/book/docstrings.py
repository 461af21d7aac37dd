"""The library's docstrings, which are plain text with formulas, as reStructuredText."""

import re

CODE = re.compile(r"(`+[^`]+`+)")
SPECIAL = re.compile(r"[|*\\]|_(?!\w)")
is_result = re.compile(r"  \w+: ").match


def read_plainly(app, what, name, obj, options, lines):
    """Rewrites a docstring in place, before napoleon reads its sections."""
    lines[:] = list_results(show_displays(lines))


def show_displays(lines):
    """Shows an indented paragraph, a formula or a table of symbols, as it stands; escapes all others."""
    result, displayed, opener = [], False, ""
    for before, line in zip(["", *lines], lines, strict=False):
        if line.strip() and not before.strip():
            was_displayed = displayed
            displayed = line.startswith("    ") and (displayed or (opener != "" and opener[0] not in " -"))
            result += ["::", ""] if displayed and not was_displayed else []
        if line.strip() and not displayed:
            opener = line
        result.append(line if displayed or line.lstrip().startswith(">>>") else escape(line))
    return result


def escape(line):
    """Escapes what reStructuredText would take for markup, but for what stands between backquotes."""
    parts = CODE.split(line)
    return "".join(part if part.startswith("`") else SPECIAL.sub(r"\\\g<0>", part) for part in parts)


def list_results(lines):
    """Makes a list of the results, where a function returns several."""
    if "Returns:" not in lines:
        return lines
    start = lines.index("Returns:") + 1
    end = next((k for k in range(start, len(lines)) if lines[k][:1] not in ("", " ")), len(lines))
    section = lines[start:end]
    if len(list(filter(is_result, section))) < 2 or not is_result(section[0]):
        return lines
    listed = [("    - " if is_result(line) else "    ") + line[2:] for line in section]
    return [*lines[: start - 1], ":returns:", "", *listed, "", *lines[end:]]


def is_field(app, what, name, obj, skip, options):
    """A named tuple's fields are described by the class; by themselves they say "alias for field number 0"."""
    return True if type(obj).__name__ == "_tuplegetter" else None


def setup(app):
    app.connect("autodoc-process-docstring", read_plainly, priority=400)
    app.connect("autodoc-skip-member", is_field)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
