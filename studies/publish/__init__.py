"""From the records of a study to its published files: laws, findings, figures, tables. `make results` runs it all."""
