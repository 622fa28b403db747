"""The live view of a link: `run` on a terminal, `status --watch` and the demo draw the same picture."""
