"""Tutorials: walkthroughs as Markdown files whose commands run and whose claims are checked."""
